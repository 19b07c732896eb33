"""Upscalers: loaded with the size that was foretold, in tiles as whole, and as diffusers' pipeline does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionUpscalePipeline

from app.backends.base import Guide, Upscaler
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.registry import foretell_parts, load_backend, load_rom
from app.backends.srresnet_upscaler import SRResNetUpscaler, tiles
from app.errors import ManifestError
from app.roms.catalog import Rom, read_rom
from tests.support.upscalers import STEPS, build_srresnet, build_x4_upscaler

FLOAT32 = LoadOptions("cpu", "float32")
GUIDE = Guide("a cat", 7)


def nothing() -> None:
    """Called between pieces of the work."""


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def load(rom: Rom, pool: ComponentPool | None = None) -> Upscaler:
    return cast(Upscaler, load_rom(rom, FLOAT32, pool))


@pytest.fixture(scope="module")
def srresnet(tmp_path_factory: pytest.TempPathFactory) -> Rom:
    return read_rom(build_srresnet(tmp_path_factory.mktemp("roms") / "enlarge"))


@pytest.fixture(scope="module")
def x4(tmp_path_factory: pytest.TempPathFactory) -> Rom:
    return read_rom(build_x4_upscaler(tmp_path_factory.mktemp("roms") / "x4"))


@pytest.fixture(params=["srresnet", "x4"])
def rom(request: pytest.FixtureRequest) -> Rom:
    return cast(Rom, request.getfixturevalue(request.param))


def test_a_directory_tells_what_it_enlarges_by(srresnet: Rom, x4: Rom, tmp_path: Path) -> None:
    assert (srresnet.factors, x4.factors) == ((2, 4), (4,))
    assert read_rom(build_srresnet(tmp_path / "two", num_doublings=1)).factors == (2,)


def test_it_is_as_large_as_was_foretold(rom: Rom) -> None:
    pool = ComponentPool()
    foretold = foretell_parts(rom, FLOAT32, pool)
    assert load(rom, pool).info.parts == foretold
    assert sum(foretold.values()) == 4 * rom.num_parameters


def test_two_of_the_same_weights_are_one_in_memory(rom: Rom) -> None:
    pool = ComponentPool()
    first, second = load(rom, pool), load(rom, pool)
    assert first.info.parts == second.info.parts
    first.unload()
    assert second.upscale(noise(3, 16, 16), 4, GUIDE, nothing).shape == (3, 64, 64)
    second.unload()
    assert pool.is_empty


def test_an_image_of_any_size_is_enlarged(rom: Rom) -> None:
    upscaler = load(rom)
    for factor in upscaler.info.factors:
        assert upscaler.upscale(noise(3, 21, 34), factor, GUIDE, nothing).shape == (3, 21 * factor, 34 * factor)


def test_what_is_raised_between_pieces_ends_it(rom: Rom) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        load(rom).upscale(noise(3, 16, 16), 4, GUIDE, stop)


@pytest.mark.parametrize("factor", [2, 4])
def test_tiles_give_what_the_whole_gives(srresnet: Rom, factor: int) -> None:
    upscaler, image, pieces = load(srresnet), noise(3, 90, 71), list[None]()
    assert isinstance(upscaler, SRResNetUpscaler)
    whole = upscaler.upscale(image, factor, GUIDE, nothing)
    tiled = upscaler.upscale(image, factor, GUIDE, lambda: pieces.append(None), tile=48)
    assert len(pieces) > 4
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 48, 49, 97, 300])
def test_tiles_keep_every_pixel_once(length: int) -> None:
    found = list(tiles(length, 48, 15))
    assert [pixel for tile in found for pixel in range(tile.start, tile.stop)] == list(range(length))
    assert max(tile.last - tile.first for tile in found) <= 48


def test_diffusion_enlarges_as_the_pipeline_of_diffusers(x4: Rom) -> None:
    image = noise(3, 16, 24)
    pipeline = StableDiffusionUpscalePipeline.from_pretrained(x4.directory)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        GUIDE.prompt,
        image=image[None] / 2 + 0.5,
        num_inference_steps=STEPS,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(GUIDE.seed),
        output_type="np",
    ).images[0]
    made = load(x4).upscale(image, 4, GUIDE, nothing)
    np.testing.assert_allclose((made / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy(), expected, atol=1e-4)


def test_a_model_that_makes_no_images_is_no_backend(srresnet: Rom) -> None:
    with pytest.raises(ManifestError, match="makes no images"):
        load_backend(srresnet, FLOAT32)


def test_a_config_that_does_not_tell_how_far_is_broken(tmp_path: Path) -> None:
    path = build_srresnet(tmp_path / "odd") / "upscaler" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_doublings": 0}))
    with pytest.raises(ManifestError, match="how far"):
        read_rom(tmp_path / "odd")
