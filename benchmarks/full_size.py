"""ROMs of full size with random weights: they make no picture, and take the time and memory of one.

`python -m benchmarks.full_size NAME` writes one to `build/full_size/NAME`, in float16, as such models are published.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from benchmarks.architectures import ARCHITECTURES, VAE, Architecture

ROOT = Path("build") / "full_size"
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"
_POOL = 2**24  # random numbers, used over and over
_SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def ensure_rom(name: str) -> Path:
    """The ROM's directory; written where it is not there yet."""
    directory = ROOT / name
    if not (directory / "model_index.json").exists():
        write_rom(ARCHITECTURES[name], directory)
    return directory


def write_rom(architecture: Architecture, directory: Path, dtype: torch.dtype = torch.float16) -> None:
    """A diffusers directory with a small decoder beside it. Its index comes last: one without is not whole."""
    tokenizer = _tokenizer()
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionXLPipeline" if architecture.is_xl else "StableDiffusionPipeline",
        "scheduler": ["diffusers", _SCHEDULER["_class_name"]],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    for (number, config), cls in zip(
        _numbered(architecture.text_encoders), (CLIPTextModel, CLIPTextModelWithProjection), strict=False
    ):
        ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        with init_empty_weights():
            model = cls(CLIPTextConfig(**config, **ids))
        _write_model(model, directory / f"text_encoder{number}", "model", dtype)
        tokenizer.save_pretrained(directory / f"tokenizer{number}")
        index |= {f"text_encoder{number}": ["transformers", cls.__name__]}
        index |= {f"tokenizer{number}": ["transformers", "CLIPTokenizer"]}
    with init_empty_weights():
        models = {
            "unet": UNet2DConditionModel(**architecture.unet),
            "vae": AutoencoderKL(**VAE, scaling_factor=architecture.vae_scaling, force_upcast=architecture.is_xl),
            "vae_tiny": AutoencoderTiny(),
        }
    for name, model in models.items():
        _write_model(model, directory / name, "diffusion_pytorch_model", dtype)
    (directory / "scheduler").mkdir(exist_ok=True)
    (directory / "scheduler" / "scheduler_config.json").write_text(json.dumps(_SCHEDULER))
    (directory / "model_index.json").write_text(json.dumps(index))


def _numbered(configs: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    return zip(("", "_2"), configs, strict=False)


def _write_model(model: Any, folder: Path, name: str, dtype: torch.dtype) -> None:
    """Config, and weights that keep activations of the size that a trained model has."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    text = config.to_json_string() if hasattr(config, "to_json_string") else model.to_json_string()
    (folder / "config.json").write_text(text)
    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(0)).to(dtype)
    tensors = {key: _fill(key, tuple(tensor.shape), pool) for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / f"{name}.safetensors", {"format": "pt"})


def _fill(key: str, shape: tuple[int, ...], pool: torch.Tensor) -> torch.Tensor:
    if len(shape) < 2:
        return torch.full(shape, 1.0 if key.endswith("weight") else 0.0, dtype=pool.dtype)
    size = math.prod(shape)
    values = pool.repeat(-(-size // len(pool)))[:size].reshape(shape)
    return values / math.sqrt(math.prod(shape[1:]))


def _tokenizer() -> Any:
    """CLIP's in form: every byte is a token."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*characters, *(f"{character}</w>" for character in characters), _BOS, _EOS]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=77)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description=__doc__)
    parser.add_argument("name", choices=ARCHITECTURES)
    print(ensure_rom(parser.parse_args().name))
