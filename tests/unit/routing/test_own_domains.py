"""Our own ROMs: what their recipes say of them tells them apart, on prompts that are among no examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.roms.manifest import RomManifest, read_manifest
from app.routing.domain_model import DomainModel
from training.recipes.digits import DIGITS
from training.recipes.shapes import SHAPES
from training.recipes.shapes_turbo import SHAPES_TURBO
from training.recipes.sketch import SKETCH

STORE = Path(__file__).resolve().parents[3] / "model_store"
MANIFESTS: dict[str, RomManifest] = {
    recipe.manifest.id: recipe.manifest for recipe in (SHAPES, SHAPES_TURBO, SKETCH, DIGITS)
}


@pytest.fixture(scope="module")
def model() -> DomainModel:
    return DomainModel.fit(MANIFESTS)


@pytest.mark.parametrize(
    ("prompt", "domain"),
    [
        ("an enormous red circle, white background", "shapes"),
        ("two cyan stars under a pink sqaure", "shapes"),
        ("yellow diamonds on navy", "shapes"),
        ("an enormous red circle, white background, in ink", "sketch"),
        ("two cyan stars under a pink square, hatching", "sketch"),
        ("hand-drawn yellow diamonds on navy", "sketch"),
        ("the number 57 on white paper", "digits"),
        ("a handwritten nine", "digits"),
        ("three eight one in chalk on a blackboard", "digits"),
        ("613", "digits"),
    ],
)
def test_prompts_find_their_rom(model: DomainModel, prompt: str, domain: str) -> None:
    read = model.read(prompt)
    assert read.best == domain
    assert not read.is_out_of_domain


@pytest.mark.parametrize(
    "prompt",
    [
        "a photo of a lion in the savanna",
        "portrait of an old sailor, oil painting",
        "what is the boiling point of water",
        "def add(a, b): return a + b",
        "a girl with blue eyes in a school uniform, anime",
    ],
)
def test_what_none_of_them_can_draw_is_out_of_domain(model: DomainModel, prompt: str) -> None:
    assert model.read(prompt).is_out_of_domain


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_examples_are_many_and_different(manifest: RomManifest) -> None:
    assert len(set(manifest.domain.examples)) == len(manifest.domain.examples) >= 25


def test_the_rom_in_the_store_says_what_its_recipe_says() -> None:
    assert read_manifest(STORE / "shapes").domain == SHAPES.manifest.domain


def test_twins_are_one_domain(model: DomainModel) -> None:
    assert model.domains == ("shapes", "sketch", "digits")
