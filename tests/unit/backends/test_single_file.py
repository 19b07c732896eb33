"""What is converted of a single file, once; and what is said of one that does not hold what it should."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from app.backends.base import Backend
from app.backends.checkpoint_configs import read_config, read_scheduler
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.backends.single_file import as_directories
from app.backends.tokenizer import make_clip_tokenizer
from app.errors import ManifestError
from app.roms.catalog import Rom, read_rom
from app.roms.single_file import ARCHITECTURES, Checkpoint
from tests.support.single_files import write_single_file_rom

UNET = "model.diffusion_model."
FIRST, TELLTALE = f"{UNET}input_blocks.0.0.weight", f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"


@pytest.fixture
def single(tmp_path: Path, tiny_rom: Path) -> Path:
    return write_single_file_rom(tmp_path / "single", tiny_rom)


def load(rom: Path) -> Backend:
    return load_backend(read_rom(rom), LoadOptions("cpu", "float32", cache_dir=rom.parent / "cache"))


def converted(rom: Path) -> Rom:
    return as_directories(read_rom(rom), rom.parent / "cache")


def converted_in(root: Path) -> list[Path]:
    return sorted((root / "cache" / "single_files").iterdir())


def rewrite(rom: Path, **changes: torch.Tensor | None) -> None:
    """Change the file's tensors by name, or leave them out."""
    tensors: dict[str, Any] = load_file(rom / "model.safetensors") | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, rom / "model.safetensors")


def refusal(rom: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        load(rom)
    return raised.value.message


def test_file_is_converted_once_and_again_when_it_changes(single: Path) -> None:
    load(single)
    (folder,) = converted_in(single.parent)
    written = (folder / "unet" / "config.json").stat().st_mtime_ns
    load(single)
    assert converted_in(single.parent) == [folder], "no other, and nothing unfinished"
    assert (folder / "unet" / "config.json").stat().st_mtime_ns == written
    rewrite(single, **{FIRST: load_file(single / "model.safetensors")[FIRST] * 2})
    load(single)
    assert len(converted_in(single.parent)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{UNET}out.2.bias": None}, r"model.safetensors lacks model.diffusion_model.: conv_out.bias"),
        ({f"{UNET}out.2.bias": torch.zeros(5)}, r"conv_out.bias is [5], its configs say [4]"),
        ({f"{UNET}middle_block.2.more.weight": torch.zeros(5)}, "which its configs do not know"),
        ({"first_stage_model.quant_conv.bias": None}, "lacks first_stage_model.: quant_conv.bias"),
    ],
)
def test_file_that_is_not_what_its_configs_say_is_refused(single: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(single, **changes)
    assert message in refusal(single)
    assert converted_in(single.parent) == []


def test_file_of_another_size_than_the_published_model_is_refused(single: Path) -> None:
    """Without its configs it is taken for the model that its names are of."""
    shutil.rmtree(single / "unet")
    assert "its configs say" in refusal(single)


def test_file_needs_somewhere_to_be_converted_into(single: Path) -> None:
    with pytest.raises(ManifestError, match="needs a cache directory"):
        load_backend(read_rom(single), LoadOptions("cpu", "float32"))


def checkpoint_of(directory: Path, architecture: str, metadata: dict[str, str] | None = None) -> Checkpoint:
    path = directory / "model.safetensors"
    save_file({FIRST: torch.zeros(1)}, path, metadata)
    return Checkpoint(path, {one.name: one for one in ARCHITECTURES}[architecture], None)


def first(channels: int) -> torch.Tensor:
    return torch.zeros(320, channels, 3, 3)


@pytest.mark.parametrize(
    ("architecture", "tensors", "metadata", "prediction", "size"),
    [
        ("sd1", {}, {}, "epsilon", 64),
        ("sd1", {"v_pred": torch.zeros(1)}, {}, "v_prediction", 64),
        ("sd2", {TELLTALE: torch.tensor([-0.3, 0.3])}, {}, "v_prediction", 96),
        ("sd2", {TELLTALE: torch.tensor([-0.03, 0.03])}, {}, "epsilon", 64),
        ("sd2", {TELLTALE: torch.tensor([-0.3, 0.3])}, {"modelspec.prediction_type": "epsilon"}, "epsilon", 64),
        ("sd2", {TELLTALE: torch.tensor([-0.3, 0.3]), FIRST: first(9)}, {}, "epsilon", 64),
        ("sdxl", {}, {"modelspec.prediction_type": "v"}, "v_prediction", 128),
    ],
)
def test_file_tells_what_it_predicts_and_in_which_size(
    tmp_path: Path, architecture: str, tensors: dict[str, Any], metadata: dict[str, str], prediction: str, size: int
) -> None:
    checkpoint = checkpoint_of(tmp_path, architecture, metadata)
    tensors = {FIRST: first(4)} | tensors
    assert read_scheduler(checkpoint, tensors)["prediction_type"] == prediction
    config = read_config(checkpoint, "unet", tensors)
    assert (config["sample_size"], config["in_channels"]) == (size, tensors[FIRST].shape[1])


def test_file_tells_that_its_schedule_ends_in_pure_noise(tmp_path: Path) -> None:
    tensors = {FIRST: first(4), "v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}
    assert read_scheduler(checkpoint_of(tmp_path, "sdxl"), tensors)["rescale_betas_zero_snr"] is True


@pytest.mark.parametrize(("pad_token", "number"), [("<|endoftext|>", 49407), ("!", 0)])
def test_tokens_are_those_of_clip(pad_token: str, number: int) -> None:
    """As openai/clip-vit-large-patch14 numbers them."""
    tokenizer = make_clip_tokenizer(pad_token)
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("Hello, WORLD").input_ids == [49406, 3306, 267, 1002, 49407]
    assert (tokenizer.pad_token_id, len(tokenizer), tokenizer.model_max_length) == (number, 49408, 77)


def test_tokenizer_is_made_where_none_lies_beside_the_file(single: Path) -> None:
    beside = CLIPTokenizer.from_pretrained(converted(single).directory / "tokenizer", local_files_only=True)
    shutil.rmtree(single / "tokenizer")
    made = CLIPTokenizer.from_pretrained(converted(single).directory / "tokenizer", local_files_only=True)
    assert len(beside) < len(made) == 49408
    assert made("a cat").input_ids == [49406, 320, 2368, 49407]
