"""What a ROM is foretold to take in memory."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import ManifestError
from app.roms.catalog import read_rom
from app.roms.memory import predict_need, read_memory_model
from tests.support.roms import make_rom
from tests.support.tiny_models import VAE_SCALE_FACTOR


def test_half_the_precision_takes_half_the_memory(tiny_rom: Path) -> None:
    single, half = (read_memory_model(tiny_rom, itemsize) for itemsize in (4, 2))
    assert single.of_forward(3, 64) == 2 * half.of_forward(3, 64)
    assert single.of_decoding(256, "full") == 2 * half.of_decoding(256, "full")


def test_rows_and_cells_add_up_to_what_a_forward_takes_besides(tiny_rom: Path) -> None:
    model = read_memory_model(tiny_rom, 4)
    besides = model.of_forward(0, 0)
    assert besides > 0
    assert model.of_forward(6, 100) - besides == 2 * (model.of_forward(3, 100) - besides) > 0
    assert model.of_forward(3, 200) == model.of_forward(6, 100)


def test_need_of_a_rom_is_its_weights_and_its_largest_image(tiny_rom: Path) -> None:
    rom = read_rom(tiny_rom)
    need = predict_need(rom, 2)
    assert need is not None
    assert need.weights_bytes == 2 * rom.num_parameters
    model, pixels = read_memory_model(tiny_rom, 2), rom.manifest.limits.max_pixels
    guided = model.of_forward(2, pixels // VAE_SCALE_FACTOR**2)
    assert need.largest_image_bytes == max(guided, model.of_decoding(pixels, "full"))


def test_nothing_is_foretold_of_a_rom_without_a_model() -> None:
    assert predict_need(make_rom("fake", 10), 4) is None


def test_missing_config_is_named(tiny_rom: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"config\.json"):
        predict_need(replace(read_rom(tiny_rom), directory=tmp_path), 4)


@pytest.mark.parametrize("told", ["{}", '{"block_out_channels": []}', '{"block_out_channels": "wide"}'])
def test_config_that_tells_too_little_is_named(tiny_rom: Path, tmp_path: Path, told: str) -> None:
    directory = shutil.copytree(tiny_rom, tmp_path / "rom")
    (directory / "unet" / "config.json").write_text(told)
    with pytest.raises(ManifestError, match=r"unet/config\.json does not say block_out_channels"):
        predict_need(replace(read_rom(tiny_rom), directory=directory), 4)
