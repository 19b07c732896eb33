"""ROMs small enough to make on the spot: the files of the public checkpoints they stand for, random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import __version__

from tests.support.tiny_models import (
    Architecture,
    make_autoencoder,
    make_text_encoder,
    make_text_encoder_2,
    make_tiny_autoencoder,
    make_tokenizer,
    make_unet,
)

STABLE_DIFFUSION_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
_XL_AUTOENCODER = {"scaling_factor": 0.13025}
_NOT_THERE = [None, None]


@dataclass(frozen=True)
class TinyRom:
    """What may differ between tiny ROMs."""

    architecture: Architecture = "sd"
    autoencoder: Literal["AutoencoderKL", "AutoencoderTiny"] = "AutoencoderKL"
    autoencoder_config: dict[str, Any] = field(default_factory=dict)
    scheduler_class: str = "DDIMScheduler"
    scheduler_config: dict[str, Any] = field(default_factory=lambda: STABLE_DIFFUSION_SCHEDULE)
    unet_channels: int = 4  # 9 for inpainting
    force_zeros_for_empty_prompt: bool = True  # of SDXL
    with_tiny_decoder: bool = False
    seed: int = 0

    @property
    def is_xl(self) -> bool:
        return self.architecture in ("sdxl", "ssd-1b")


def build_tiny_rom(directory: Path, options: TinyRom | None = None) -> Path:
    """Write a diffusers directory, the same bytes for the same options. Returns `directory`."""
    options = options or TinyRom()
    tokenizers = {"tokenizer": make_tokenizer()}
    if options.is_xl:
        tokenizers["tokenizer_2"] = make_tokenizer(pad_token="!")
    for name, part in (tokenizers | _make_models(options, tokenizers)).items():
        part.save_pretrained(directory / name)
    _write_json(
        directory / "scheduler" / "scheduler_config.json",
        {"_class_name": options.scheduler_class, **options.scheduler_config},
    )
    _write_json(directory / "model_index.json", _index(options))
    return directory


def _make_models(options: TinyRom, tokenizers: dict[str, Any]) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        models = {"text_encoder": make_text_encoder(tokenizers["tokenizer"])}
        if options.is_xl:
            models["text_encoder_2"] = make_text_encoder_2(tokenizers["tokenizer_2"])
        models["unet"] = make_unet(options.architecture, options.unet_channels)
        if options.autoencoder == "AutoencoderTiny":
            models["vae"] = make_tiny_autoencoder()
        else:
            models["vae"] = make_autoencoder(**(_XL_AUTOENCODER if options.is_xl else {}) | options.autoencoder_config)
        if options.with_tiny_decoder:
            models["vae_tiny"] = make_tiny_autoencoder()
    return models


def _index(options: TinyRom) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "_diffusers_version": __version__,
        "feature_extractor": _NOT_THERE,
        "image_encoder": _NOT_THERE,
        "scheduler": ["diffusers", options.scheduler_class],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", options.autoencoder],
    }
    if not options.is_xl:
        safety = {"requires_safety_checker": False, "safety_checker": _NOT_THERE}
        return {"_class_name": "StableDiffusionPipeline", **safety, **parts}
    return {
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": options.force_zeros_for_empty_prompt,
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        **parts,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
