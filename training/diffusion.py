"""The U-Net: denoising of latents under the frozen text tower, with guidance dropout.

v-prediction (Salimans & Ho 2022) on a schedule of zero terminal signal (Lin et al. 2023), so that plain backgrounds
come out at their own brightness. What an image shows is decided where noise is high (without its caption the loss
there is four times as large, at low noise the same), so timesteps are drawn more often from there, and all weigh alike:
min-SNR weights (Hang et al. 2023) are low there. Contours are decided where noise is lower; a second stage, with
uniform timesteps, is for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tqdm import tqdm

from training.denoising import UNIFORM, Conditions, Denoising
from training.domains.domain import Domain
from training.loop import LoopConfig, autocast, device, train
from training.scenes import IMAGE_SIZE
from training.vae import to_tensor

_ENCODE_BATCH = 64


@dataclass(frozen=True)
class DiffusionConfig:
    loop: LoopConfig
    images: int  # drawn and encoded once
    uniform_loop: LoopConfig | None = None  # which follows, with uniform timesteps
    block_out_channels: tuple[int, ...] = (96, 160)
    down_block_types: tuple[str, ...] = ("DownBlock2D", "CrossAttnDownBlock2D")
    up_block_types: tuple[str, ...] = ("CrossAttnUpBlock2D", "UpBlock2D")
    attention_heads: int = 4
    caption_dropout: float = 0.1
    compile: bool = True
    zero_snr: bool = True
    weigh: Callable[[Any], float] | None = None  # a spec: how often its image is learnt, where others have 1

    def smoke(self) -> DiffusionConfig:
        """Next to no work."""
        uniform_loop = self.uniform_loop and self.uniform_loop.smoke()
        return replace(self, loop=self.loop.smoke(), uniform_loop=uniform_loop, images=32, compile=False)


@dataclass(frozen=True)
class EncodedImages:
    """What images show and their scaled latents, drawn and encoded once."""

    specs: list[Any]
    latents: torch.Tensor  # [N, C, h, w]


def new_scheduler(*, zero_snr: bool = True) -> DDIMScheduler:
    """The schedule of Stable Diffusion, but for its end: pure noise, where training and sampling begin."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing="trailing" if zero_snr else "leading",
        clip_sample=False,
        set_alpha_to_one=zero_snr,
        steps_offset=1,
    )


def new_unet(config: DiffusionConfig, cross_attention_dim: int, latent_channels: int = 4) -> UNet2DConditionModel:
    """Untrained, its weights drawn from the stage's seed."""
    torch.manual_seed(config.loop.seed)
    return UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 8,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=config.block_out_channels,
        down_block_types=config.down_block_types,
        up_block_types=config.up_block_types,
        layers_per_block=1,
        attention_head_dim=config.attention_heads,  # diffusers' name for the number of heads
        cross_attention_dim=cross_attention_dim,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",  # the caption as a whole reaches every layer with the time (Saharia et al. 2022)
        addition_embed_type_num_heads=config.attention_heads,
    )


def train_diffusion(
    config: DiffusionConfig,
    domain: Domain[Any],
    conditions: Conditions,
    unet: UNet2DConditionModel,
    directory: Path,
) -> UNet2DConditionModel:
    """Train `unet`, new or not; returns its moving average."""
    unet.to(device()).set_attn_processor(AttnProcessor())  # twice as fast as fused where gradients run on a CPU
    forward = torch.compile(unet) if config.compile else unet
    task = denoising_of(config, domain, conditions, directory)
    trained = train("diffusion", unet, lambda draw: task.loss(forward, draw), config.loop, directory)
    if (loop := config.uniform_loop) is not None:
        unet.load_state_dict(trained.state_dict())
        uniform = replace(task, power=UNIFORM)
        trained = train("uniform_diffusion", unet, lambda draw: uniform.loss(forward, draw), loop, directory)
    return trained.eval().requires_grad_(False)


def denoising_of(config: DiffusionConfig, domain: Domain[Any], conditions: Conditions, directory: Path) -> Denoising:
    """The task on images of the domain; their latents are kept in the directory."""
    data = encode_images(config, domain, conditions.vae, directory / "latents.pt")
    chances = None
    if config.weigh is not None:
        weights = np.array([config.weigh(spec) for spec in data.specs])
        chances = weights / weights.sum()
    return Denoising(
        conditions,
        new_scheduler(zero_snr=config.zero_snr),
        data.latents,
        lambda row, rng: domain.caption(data.specs[row], rng),
        config.caption_dropout,
        chances,
    )


def encode_images(config: DiffusionConfig, domain: Domain[Any], vae: AutoencoderKL, cache: Path) -> EncodedImages:
    """Draw `config.images` images and encode them, or read what an earlier run left in `cache`."""
    rng = np.random.default_rng((config.loop.seed, 3))
    specs = [domain.random_spec(rng) for _ in range(config.images)]
    if cache.exists():
        return EncodedImages(specs, torch.load(cache, weights_only=True))
    latents = []
    with torch.no_grad(), autocast():
        for start in tqdm(range(0, len(specs), _ENCODE_BATCH), desc="latents", unit="batch"):
            images = np.stack([domain.image(spec, rng) for spec in specs[start : start + _ENCODE_BATCH]])
            latents.append(vae.encode(to_tensor(images)).latent_dist.mean.float().cpu() * vae.config.scaling_factor)
    torch.save(torch.cat(latents), cache)
    return EncodedImages(specs, torch.cat(latents))
