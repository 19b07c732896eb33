"""Recipes, run with next to no work: all stages fit together, and what comes out is a ROM that our backend serves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from app.roms.manifest import RomManifest
from app.roms.verification import VerifiedFiles
from training.base import MissingBaseError
from training.recipes import RECIPES
from training.recipes.sketch import SKETCH

every_recipe = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    for name, recipe in RECIPES.items():
        recipe.smoke().make(folder / "work" / name, folder / "store")
    return folder / "store"


def manifest(store: Path, name: str) -> RomManifest:
    return read_rom(store / name).manifest


@every_recipe
def test_a_recipe_ends_in_a_rom_with_digests(store: Path, name: str) -> None:
    rom = read_rom(store / name)
    VerifiedFiles().check(rom.directory, rom.manifest.files)
    assert {"unet", "vae", "text_encoder"} <= {file.path.split("/")[0] for file in rom.manifest.files}


@every_recipe
def test_the_rom_is_served_by_our_backend(store: Path, name: str) -> None:
    backend = load_backend(read_rom(store / name), LoadOptions("cpu", "float32"))
    pixels = backend.decode(torch.zeros(1, 4, 16, 16))
    assert pixels.shape == (1, 3, 128, 128)


@every_recipe
def test_curves_and_samples_are_saved(store: Path, name: str) -> None:
    for picture in ("loss.png", "samples.png"):
        with Image.open(store / name / picture) as image:
            assert image.size[0] > 100


@every_recipe
def test_the_manifest_says_what_the_rom_is_for(store: Path, name: str) -> None:
    said = manifest(store, name)
    assert said.id == name and said.license and said.source
    assert said.domain.description and said.domain.keywords and said.domain.styles
    assert len(set(said.domain.examples)) >= 15
    assert set(said.presets) == {"default", "fast", "quality"}


def test_sketch_is_shapes_but_for_its_unet(store: Path) -> None:
    shapes, sketch = ({file.path: file.sha256 for file in manifest(store, name).files} for name in ("shapes", "sketch"))
    assert shapes.keys() == sketch.keys()
    differing = {path for path in shapes if shapes[path] != sketch[path]}
    assert {path.split("/")[0] for path in differing} == {"unet"}
    assert (store / "shapes/vae/config.json").read_bytes() == (store / "sketch/vae/config.json").read_bytes()


def test_sketch_asks_for_shapes(tmp_path: Path) -> None:
    with pytest.raises(MissingBaseError, match="make shapes first"):
        SKETCH.smoke().make(tmp_path / "work", tmp_path / "store")
