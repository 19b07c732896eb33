"""Single-file checkpoints: the pictures of the same weights in a diffusers directory, and of diffusers' own loader."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from app.roms.library import RomLibrary
from app.roms.store import open_store
from tests.support.bench import alone, image_of
from tests.support.loras import TinyLora, write_lora_rom
from tests.support.pairs import Pair
from tests.support.single_files import write_single_file_rom
from tests.support.tiny_rom import TinyRom, build_tiny_rom

KINDS: dict[str, tuple[TinyRom, bool]] = {
    "SD 1": (TinyRom("sd", with_tiny_decoder=True), False),
    "SD 2": (TinyRom("sd"), True),
    "SDXL": (TinyRom("sdxl"), False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_the_directory(tmp_path: Path, kind: str) -> None:
    options, open_clip = KINDS[kind]
    pair = Pair(build_tiny_rom(tmp_path / "source", options))
    single = write_single_file_rom(tmp_path / "single", pair.directory, open_clip=open_clip)
    directory = pair.backend
    pair.backend = load_backend(read_rom(single), LoadOptions("cpu", "float32", cache_dir=tmp_path / "cache"))
    assert pair.backend.info.nbytes == directory.info.nbytes == 4 * read_rom(single).num_parameters
    assert pair.backend.info.decoders == directory.info.decoders
    pair.assert_same_latents(prompt="The cat! and, a dog", negative_prompt="")
    pair.assert_same_pixels()


@pytest.mark.parametrize("architecture", ["sd", "sdxl"])
def test_file_for_inpainting_predicts_as_the_directory(tmp_path: Path, architecture: str) -> None:
    source = build_tiny_rom(tmp_path / "source", TinyRom(architecture, unet_channels=9))  # type: ignore[arg-type]
    single = write_single_file_rom(tmp_path / "single", source)
    latents, timestep = torch.randn(1, 9, 8, 8), torch.tensor([500])
    predictions = []
    for rom in (source, single):
        backend = load_backend(read_rom(rom), LoadOptions("cpu", "float32", cache_dir=tmp_path / "cache"))
        predictions.append(backend.predict(latents, timestep, [backend.encode_prompt("the cat")]))
    assert torch.equal(*predictions)


@pytest.mark.parametrize(("cls", "name"), [(UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")])
def test_converted_weights_are_those_that_diffusers_reads(tmp_path: Path, cls: type, name: str) -> None:
    source = build_tiny_rom(tmp_path / "source")
    single = write_single_file_rom(tmp_path / "single", source)
    load_backend(read_rom(single), LoadOptions("cpu", "float32", cache_dir=tmp_path / "cache"))
    (converted,) = (tmp_path / "cache" / "single_files").glob(f"*/{name}/*.safetensors")
    theirs = cls.from_single_file(  # type: ignore[attr-defined]
        str(single / "model.safetensors"), config=str(source), subfolder=name, local_files_only=True
    )
    mine = load_file(converted)
    assert mine.keys() == theirs.state_dict().keys()
    assert all(torch.equal(mine[key], tensor) for key, tensor in theirs.state_dict().items())


def test_lora_lies_over_a_single_file_as_over_a_directory(tmp_path: Path) -> None:
    source = build_tiny_rom(tmp_path / "source")
    write_single_file_rom(tmp_path / "single", source)
    for base in ("source", "single"):
        write_lora_rom(tmp_path / f"{base}-ink", source, TinyLora("kohya"))
        (tmp_path / f"{base}-ink" / "rom.yaml").write_text(f"{{id: {base}-ink, base: {base}}}", encoding="utf-8")
    options = LoadOptions("cpu", "float32", cache_dir=tmp_path / "cache")
    catalog = RomLibrary([open_store(f"file://{tmp_path}")]).catalog
    pictures = {rom.id: image_of(alone(load_backend(rom, options))) for rom in catalog}
    assert pictures["single-ink"] == pictures["source-ink"] != pictures["source"] == pictures["single"]
