"""Single-file checkpoints: the pictures of the same weights in a diffusers directory, and of diffusers' own loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from tests.support.loras import TinyLora, write_lora_rom
from tests.support.pairs import Pair
from tests.support.single_files import write_single_file_rom
from tests.support.tiny_rom import TinyRom, build_tiny_rom

KINDS: dict[str, tuple[TinyRom, bool]] = {
    "SD 1": (TinyRom("sd"), False),
    "SD 1, inpainting": (TinyRom("sd", unet_channels=9), False),
    "SD 1, tiny decoder": (TinyRom("sd", with_tiny_decoder=True), False),
    "SD 2": (TinyRom("sd"), True),
    "SDXL": (TinyRom("sdxl"), False),
}


def load(path: Path, cache: Path) -> Any:
    return load_backend(read_rom(path), LoadOptions("cpu", "float32", cache_dir=cache))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_the_directory(tmp_path: Path, kind: str) -> None:
    options, open_clip = KINDS[kind]
    pair = Pair(build_tiny_rom(tmp_path / "source", options))
    single = write_single_file_rom(tmp_path / "single", pair.directory, open_clip=open_clip)
    directory = pair.backend
    pair.backend = load(single, tmp_path / "cache")
    assert pair.backend.info.nbytes == directory.info.nbytes == 4 * read_rom(single).num_parameters
    assert pair.backend.info.decoders == directory.info.decoders
    if not pair.backend.info.is_inpainting:
        pair.assert_same_latents(prompt="The cat! and, a dog", negative_prompt="")
        pair.assert_same_pixels()
