"""Tiny upscalers, made on the spot in the layouts that are served: random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, UNet2DConditionModel

from app.backends.srresnet import SRResNet
from tests.support.tiny_models import make_text_encoder, make_tokenizer

STEPS = 3  # of the diffusion upscaler


def build_srresnet(directory: Path, num_doublings: int = 2, **fields: Any) -> Path:
    """A ROM as training/ writes it, without digests; `fields` of its manifest. Returns `directory`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        SRResNet(8, 2, num_doublings).save_pretrained(directory / "upscaler")
    index = {"_class_name": "SRResNetPipeline", "upscaler": ["cartridge", "SRResNet"]}
    (directory / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    if fields:
        content = {"id": directory.name, "family": "upscaler", **fields}
        (directory / "rom.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return directory


def build_x4_upscaler(directory: Path) -> Path:
    """The files of stabilityai/stable-diffusion-x4-upscaler, in small. Returns `directory`."""
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        models = {"text_encoder": make_text_encoder(tokenizer), "unet": _make_unet(), "vae": _make_autoencoder()}
    for name, part in {"tokenizer": tokenizer, **models}.items():
        part.save_pretrained(directory / name)
    schedule = {"beta_start": 0.0001, "beta_end": 0.02, "prediction_type": "v_prediction", "clip_sample": False}
    DDIMScheduler(**schedule, set_alpha_to_one=False, steps_offset=1).save_pretrained(directory / "scheduler")
    DDPMScheduler(beta_schedule="squaredcos_cap_v2").save_pretrained(directory / "low_res_scheduler")
    index = {
        "_class_name": "StableDiffusionUpscalePipeline",
        "low_res_scheduler": ["diffusers", "DDPMScheduler"],
        "max_noise_level": 350,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (directory / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    presets = {"default": {"num_inference_steps": STEPS, "guidance_scale": 3.0}}
    content = {"id": directory.name, "family": "upscaler", "presets": presets}
    (directory / "rom.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return directory


def _make_unet() -> Any:
    return UNet2DConditionModel(
        in_channels=7,
        out_channels=4,
        sample_size=16,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        only_cross_attention=(True, True, False),
        layers_per_block=1,
        attention_head_dim=8,
        norm_num_groups=8,
        cross_attention_dim=32,
        num_class_embeds=1000,
        use_linear_projection=True,
    )


def _make_autoencoder() -> Any:
    return AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=0.08333,
    )
