"""Loading a model's weights, against `from_pretrained` of the libraries that they come from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from app.backends.weights import Placement, count_floats, load_model
from app.errors import ManifestError
from tests.support import public_layouts
from tests.support.tiny_models import make_unet
from tests.support.tiny_roms import TinyRoms

CPU = torch.device("cpu")
COMPONENTS: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "vae_tiny": AutoencoderTiny,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
FILES: dict[str, tuple[Callable[[Path], None] | None, str | None]] = {
    "plain": (None, None),
    "half precision": (public_layouts.in_half_precision_alone, "fp16"),
    "parts": (public_layouts.in_parts, None),
    "parts in half precision": (public_layouts.in_parts_in_half_precision_alone, "fp16"),
    "names of old": (public_layouts.with_names_of_old, None),
}


def run(model: Any) -> torch.Tensor:
    """Something that depends on all weights, buffers among them."""
    dtype, generator = model.dtype, torch.Generator().manual_seed(3)
    if hasattr(model, "add_embedding"):
        latents = torch.randn(2, 4, 8, 8, generator=generator).to(dtype)
        states = torch.randn(2, 5, model.config.cross_attention_dim, generator=generator).to(dtype)
        pooled = model.config.projection_class_embeddings_input_dim - 6 * model.config.addition_time_embed_dim
        added = {"text_embeds": torch.ones(2, pooled, dtype=dtype), "time_ids": torch.ones(2, 6, dtype=dtype)}
        return model(latents, torch.tensor([3.0, 500.0]), states, added_cond_kwargs=added).sample  # type: ignore[no-any-return]
    if hasattr(model, "decode"):
        encoded = model.encode(torch.rand(1, 3, 16, 16, generator=generator).to(dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        return model.decode(latents).sample  # type: ignore[no-any-return]
    return model(torch.arange(16)[None]).last_hidden_state  # type: ignore[no-any-return]


def assert_same(ours: Any, theirs: Any) -> None:
    for one, other in (
        (ours.state_dict(), theirs.state_dict()),
        (dict(ours.named_buffers()), dict(theirs.named_buffers())),
    ):
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert (tensor.dtype, tensor.stride()) == (other[name].dtype, other[name].stride()), name
            assert torch.equal(tensor, other[name]), name
    with torch.inference_mode():
        assert torch.equal(run(ours), run(theirs))


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_are_those_of_from_pretrained(
    tiny_roms: TinyRoms, tmp_path: Path, dtype: torch.dtype, layout: torch.memory_format, files: str
) -> None:
    rom = shutil.copytree(tiny_roms["sdxl with a tiny decoder"], tmp_path / "rom")
    lay_out, variant = FILES[files]
    if lay_out is not None:
        tiny = rom / "vae_tiny"
        tiny.rename(tmp_path / "aside")  # which these leave as it is
        lay_out(rom)
        (tmp_path / "aside").rename(tiny)
    for name, cls in COMPONENTS.items():
        theirs = cls.from_pretrained(rom / name, dtype=dtype, variant=None if name == "vae_tiny" else variant)
        ours = load_model(cls, rom / name, Placement(CPU, dtype, layout))
        assert_same(ours, theirs.eval().requires_grad_(False).to(memory_format=layout))


def test_weights_of_the_files_precision_are_views_of_it(tiny_roms: TinyRoms) -> None:
    folder = tiny_roms["sd"] / "unet"
    model = load_model(UNet2DConditionModel, folder, Placement(CPU, torch.float32))
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line]
    ranges = [[int(address, 16) for address in line[0].split("-")] for line in lines]
    for weight in model.parameters():
        assert any(start <= weight.data_ptr() < end for start, end in ranges)


def test_what_writes_to_weights_does_not_reach_the_file(tiny_rom: Path) -> None:
    path = tiny_rom / "unet" / "diffusion_pytorch_model.safetensors"
    before = path.read_bytes()
    model = load_model(UNet2DConditionModel, tiny_rom / "unet", Placement(CPU, torch.float32))
    for weight in model.parameters():
        weight.fill_(1.0)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("change", "told"), [("take", "lack conv_in.bias"), ("add", "more than.* conv_extra")])
def test_tensors_that_lack_or_are_too_many_are_named(tiny_rom: Path, tmp_path: Path, change: str, told: str) -> None:
    folder = shutil.copytree(tiny_rom / "unet", tmp_path / "unet")
    path = folder / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    if change == "take":
        del tensors["conv_in.bias"]
    else:
        tensors["conv_extra"] = torch.zeros(1)
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ManifestError, match=told):
        load_model(UNet2DConditionModel, folder, Placement(CPU, torch.float32))


def test_mixed_precisions_are_loaded_as_one(tiny_rom: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_rom / "vae", tmp_path / "vae")
    path = folder / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor.half() if "conv" in name else tensor.clone() for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    assert set(count_floats([path])) == {torch.float16, torch.float32}
    ours = load_model(AutoencoderKL, folder, Placement(CPU, torch.bfloat16))
    assert_same(ours, AutoencoderKL.from_pretrained(folder, dtype=torch.bfloat16).eval().requires_grad_(False))


_PEAK = """
import sys, torch
from pathlib import Path
from app.backends.weights import Placement, load_model
from diffusers import UNet2DConditionModel
from benchmarks.load_time import Peak
with Peak() as peak:
    placement = Placement(torch.device("cpu"), torch.bfloat16, torch.channels_last)
    model = load_model(UNet2DConditionModel, Path(sys.argv[1]), placement)
print(peak.grown_bytes, sum(weight.nbytes for weight in model.parameters()))
"""


def test_loading_in_another_precision_never_holds_all_weights_twice(tmp_path: Path) -> None:
    """From 4 bytes a value to 2: with the file in memory as well it would be three times what remains."""
    make_unet("sd", width=256).save_pretrained(tmp_path / "unet")
    program = [sys.executable, "-c", _PEAK, str(tmp_path / "unet")]
    output = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    grown, weights = map(int, output.split())
    assert weights > 50_000_000
    assert grown < 1.5 * weights
