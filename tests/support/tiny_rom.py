"""A Stable Diffusion ROM small enough to make on the spot: real classes, real files, random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

MAX_TOKENS = 16  # with the two that frame a prompt
LATENT_SIZE = 8
VAE_SCALE_FACTOR = 2
IMAGE_SIZE = LATENT_SIZE * VAE_SCALE_FACTOR  # pixels
STABLE_DIFFUSION_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
_WIDTH = 32  # of the text encoder's states, and the first blocks of UNet and autoencoder
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"
_MERGES = [("a", "n"), ("c", "a"), ("ca", "t</w>"), ("t", "h"), ("th", "e</w>")]


@dataclass(frozen=True)
class TinyRom:
    """What may differ between tiny ROMs."""

    autoencoder: Literal["AutoencoderKL", "AutoencoderTiny"] = "AutoencoderKL"
    scheduler_class: str = "DDIMScheduler"
    scheduler_config: dict[str, Any] = field(default_factory=lambda: STABLE_DIFFUSION_SCHEDULE)
    unet_channels: int = 4  # 9 for inpainting
    seed: int = 0


def build_tiny_rom(directory: Path, options: TinyRom | None = None) -> Path:
    """Write a diffusers directory, the same bytes for the same options. Returns `directory`."""
    options = options or TinyRom()
    tokenizer = _tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        models = {
            "text_encoder": _text_encoder(tokenizer),
            "unet": _unet(options.unet_channels),
            "vae": _autoencoder(options.autoencoder),
        }
    tokenizer.save_pretrained(directory / "tokenizer")
    for name, model in models.items():
        model.save_pretrained(directory / name, safe_serialization=True)
    _write_json(
        directory / "scheduler" / "scheduler_config.json",
        {"_class_name": options.scheduler_class, **options.scheduler_config},
    )
    _write_json(directory / "model_index.json", _index(options))
    return directory


def _index(options: TinyRom) -> dict[str, Any]:
    return {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", options.scheduler_class],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", options.autoencoder],
    }


def _tokenizer() -> Any:
    """CLIP's, with every byte as a token and a few merges."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*characters, *(f"{character}</w>" for character in characters)]
    tokens += ["".join(pair) for pair in _MERGES]
    vocabulary = {token: index for index, token in enumerate([*tokens, _BOS, _EOS])}
    return CLIPTokenizer(vocab=vocabulary, merges=_MERGES, model_max_length=MAX_TOKENS)


def _text_encoder(tokenizer: Any) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _unet(in_channels: int) -> Any:
    return UNet2DConditionModel(
        in_channels=in_channels,
        sample_size=LATENT_SIZE,
        block_out_channels=(_WIDTH, 2 * _WIDTH),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=_WIDTH,
        attention_head_dim=8,
    )


def _autoencoder(name: str) -> Any:
    if name == "AutoencoderTiny":
        return AutoencoderTiny(
            encoder_block_out_channels=(_WIDTH, _WIDTH),
            decoder_block_out_channels=(_WIDTH, _WIDTH),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        )
    return AutoencoderKL(
        block_out_channels=(_WIDTH, 2 * _WIDTH),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        layers_per_block=1,
        sample_size=IMAGE_SIZE,
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
