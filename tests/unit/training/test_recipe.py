"""Recipes, run with next to no work: all stages fit together, and what comes out is a ROM that our backend serves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import Catalog, read_rom
from app.roms.library import RomLibrary
from app.roms.manifest import RomManifest
from app.roms.store import open_store
from app.roms.verification import VerifiedFiles
from tests.support.backends import WatchedBackend
from tests.support.bench import alone
from tests.support.pairs import Pair
from training.base import MissingBaseError
from training.recipes import RECIPES

GENERATORS = ("shapes", "shapes-small", "shapes-turbo", "sketch", "digits")
every_recipe = pytest.mark.parametrize("name", RECIPES)
every_generator = pytest.mark.parametrize("name", GENERATORS)
every_derived_recipe = pytest.mark.parametrize("name", ["sketch", "shapes-small"])
every_dependent_recipe = pytest.mark.parametrize("name", ["sketch", "shapes-small", "shapes-turbo", "digits"])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    for name, recipe in RECIPES.items():
        recipe.smoke().make(folder / "work" / name, folder / "store")
    return folder / "store"


def catalog(store: Path) -> Catalog:
    return RomLibrary([open_store(f"file://{store}")]).catalog


def manifest(store: Path, name: str) -> RomManifest:
    return read_rom(store / name).manifest


@every_recipe
def test_a_recipe_ends_in_a_rom_with_digests(store: Path, name: str) -> None:
    rom = read_rom(store / name)
    VerifiedFiles().check(rom.directory, rom.manifest.files)
    assert rom.manifest.files and rom.id == name
    assert rom.manifest.license and rom.manifest.source and rom.manifest.domain.description


@every_recipe
def test_no_config_tells_of_the_machine_that_made_it(store: Path, name: str) -> None:
    configs = list((store / name).rglob("*.json"))
    assert configs or manifest(store, name).base
    assert not [path for path in configs if str(store.parent) in path.read_text(encoding="utf-8")]


@every_generator
def test_the_rom_is_served_by_our_backend(store: Path, name: str) -> None:
    backend = load_backend(catalog(store).get(name), LoadOptions("cpu", "float32"))
    pixels = backend.decode(torch.zeros(1, backend.info.latent_channels, 16, 16))
    assert pixels.shape == (1, 3, 128, 128)


@every_recipe
def test_curves_are_saved(store: Path, name: str) -> None:
    with Image.open(store / name / "loss.png") as image:
        assert image.size[0] > 100


@every_generator
def test_samples_are_saved(store: Path, name: str) -> None:
    with Image.open(store / name / "samples.png") as image:
        assert image.size[0] > 100


@every_generator
def test_the_manifest_says_what_the_rom_is_for(store: Path, name: str) -> None:
    said = manifest(store, name)
    assert said.domain.keywords and said.domain.styles
    assert len(set(said.domain.examples)) >= 15
    assert set(said.presets) == {"default", "fast", "quality"}


@every_derived_recipe
def test_all_but_the_unet_is_that_of_shapes(store: Path, name: str) -> None:
    shapes, derived = ({file.path: file.sha256 for file in manifest(store, rom).files} for rom in ("shapes", name))
    assert shapes.keys() == derived.keys()
    differing = {path for path in shapes if shapes[path] != derived[path]}
    assert {path.split("/")[0] for path in differing} == {"unet"}
    assert (store / "shapes/vae/config.json").read_bytes() == (store / name / "vae/config.json").read_bytes()


def test_shapes_turbo_is_a_lora_over_shapes(store: Path) -> None:
    said = manifest(store, "shapes-turbo")
    assert said.base == "shapes"
    assert [file.path for file in said.files] == ["lora.safetensors"]


def test_digits_has_the_autoencoder_of_shapes(store: Path) -> None:
    shapes, digits = ({file.path: file.sha256 for file in manifest(store, rom).files} for rom in ("shapes", "digits"))
    same = {path for path, digest in digits.items() if shapes.get(path) == digest}
    assert {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"} <= same
    assert "text_encoder/model.safetensors" not in same


@every_dependent_recipe
def test_shapes_is_asked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingBaseError, match="make shapes first"):
        RECIPES[name].smoke().make(tmp_path / "work", tmp_path / "store")


@every_derived_recipe
def test_our_engine_draws_what_diffusers_draws(store: Path, name: str) -> None:
    preset = manifest(store, name).presets["default"]
    asked = {"scheduler": preset.scheduler, "guidance_scale": preset.guidance_scale}
    Pair(store / name).assert_same_latents(**asked, width=preset.width, height=preset.height)


@pytest.mark.parametrize("preset", ["default", "fast", "quality"])
def test_shapes_turbo_takes_one_row_a_step(store: Path, preset: str) -> None:
    asked = manifest(store, "shapes-turbo").presets[preset]
    backend = WatchedBackend(load_backend(catalog(store).get("shapes-turbo"), LoadOptions("cpu", "float32")))
    state = alone(
        backend,
        scheduler=asked.scheduler,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=asked.guidance_scale,
        width=asked.width,
        height=asked.height,
    )
    assert state.future.result(0).finish_reason == "completed"
    assert [len(forward) for forward in backend.forwards] == [1] * asked.num_inference_steps
