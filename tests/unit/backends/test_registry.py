"""Families by name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from app.backends.devices import default_budget, device_memory_bytes, pick_device, pick_dtype
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.errors import ManifestError
from app.roms.catalog import Rom, read_rom
from tests.support.roms import make_rom, write_manifest
from tests.support.tiny_models import make_unet
from tests.support.tiny_rom import TinyRom, build_tiny_rom
from tests.support.tiny_roms import TinyRoms


def load_with_scheduler(tmp_path: Path, scheduler_class: str) -> Rom:
    return read_rom(build_tiny_rom(tmp_path / "tiny", TinyRom(scheduler_class=scheduler_class)))


def test_unknown_family_is_refused_with_those_that_are_supported() -> None:
    with pytest.raises(ManifestError, match=r"'flux'.*stable_diffusion"):
        load_backend(make_rom("x", family="flux"), LoadOptions("cpu", "float32"))


@pytest.mark.parametrize(
    ("scheduler_class", "scheduler"),
    [("EulerDiscreteScheduler", "euler"), ("DPMSolverMultistepScheduler", "dpmpp_2m"), ("LCMScheduler", "lcm")],
)
def test_scheduler_of_the_roms_files_is_its_default(tmp_path: Path, scheduler_class: str, scheduler: str) -> None:
    info = load_backend(load_with_scheduler(tmp_path, scheduler_class), LoadOptions("cpu", "float32")).info
    assert (info.default_scheduler, info.unoffered_scheduler) == (scheduler, None)


def test_class_that_no_table_has_is_the_roms_default_too(tmp_path: Path) -> None:
    info = load_backend(load_with_scheduler(tmp_path, "PNDMScheduler"), LoadOptions("cpu", "float32")).info
    assert (info.default_scheduler, info.unoffered_scheduler) == ("PNDMScheduler", None)


def test_scheduler_that_does_not_work_has_a_stand_in_that_says_so(tmp_path: Path) -> None:
    info = load_backend(load_with_scheduler(tmp_path, "DPMSolverSDEScheduler"), LoadOptions("cpu", "float32")).info
    assert info.default_scheduler == "dpmpp_2m"
    assert info.unoffered_scheduler is not None and "DPMSolverSDEScheduler" in info.unoffered_scheduler


def test_weights_that_do_not_fit_their_config_are_refused(tiny_rom: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(tiny_rom, tmp_path / "broken")
    path = directory / "unet" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"cross_attention_dim": 48}
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ManifestError, match="does not load"):
        load_backend(read_rom(directory), LoadOptions("cpu", "float32"))


def test_autoencoder_that_is_not_known_is_refused(tiny_rom: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(tiny_rom, tmp_path / "broken")
    path = directory / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8")) | {"vae": ["diffusers", "VQModel"]}
    path.write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ManifestError, match="VQModel"):
        load_backend(read_rom(directory), LoadOptions("cpu", "float32"))


@pytest.mark.parametrize(
    ("rom", "family", "told"),
    [
        ("sdxl", "stable_diffusion", "'text_time'; those of its family have None or 'text'"),
        ("sd", "stable_diffusion_xl", "component 'tokenizer_2' is missing"),
    ],
)
def test_denoiser_of_another_family_is_refused(
    tiny_roms: TinyRoms, tmp_path: Path, rom: str, family: str, told: str
) -> None:
    directory = shutil.copytree(tiny_roms[rom], tmp_path / "rom")
    with pytest.raises(ManifestError, match=told):
        load_backend(read_rom(write_manifest(directory, family=family)), LoadOptions("cpu", "float32"))


def test_denoiser_that_is_told_the_guidance_scale_is_refused(tiny_rom: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(tiny_rom, tmp_path / "distilled")
    make_unet("sd", time_cond_proj_dim=8).save_pretrained(directory / "unet")
    with pytest.raises(ManifestError, match="time_cond_proj_dim"):
        load_backend(read_rom(directory), LoadOptions("cpu", "float32"))


def test_tiny_decoder_is_offered_where_there_is_one(tiny_roms: TinyRoms) -> None:
    def decoders(rom: str) -> tuple[str, ...]:
        return load_backend(read_rom(tiny_roms[rom]), LoadOptions("cpu", "float32")).info.decoders

    assert decoders("sdxl") == ("full",)
    assert decoders("sdxl with a tiny decoder") == ("full", "tiny")


def test_half_precision_takes_half_the_memory(tiny_rom: Path) -> None:
    rom = read_rom(tiny_rom)
    whole, half = (load_backend(rom, LoadOptions("cpu", dtype)).info.nbytes for dtype in ("float32", "bfloat16"))
    assert whole == 2 * half == 4 * rom.num_parameters


def test_half_precision_still_answers_in_single(tiny_rom: Path) -> None:
    backend = load_backend(read_rom(tiny_rom), LoadOptions("cpu", "bfloat16"))
    prompts = [backend.encode_prompt("a cat")]
    output = backend.predict(torch.zeros(1, 4, 8, 8), torch.tensor([500.0]), prompts)
    assert output.dtype == torch.float32
    pixels = backend.decode(output)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.float32, (1, 3, 16, 16))


def test_named_device_and_precision_are_used() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_dtype("float16", torch.device("cpu")) == torch.float16


def test_processor_computes_in_half_precision_only_where_it_has_the_instructions() -> None:
    flags = set(re.findall(r"avx512_bf16|amx_bf16", Path("/proc/cpuinfo").read_text()))
    expected = torch.bfloat16 if flags else torch.float32
    assert pick_dtype("auto", torch.device("cpu")) == expected


def test_budget_is_a_part_of_the_machine() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < default_budget("cpu") <= device_memory_bytes("cpu") <= total
