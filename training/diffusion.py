"""The U-Net: denoising of latents under the frozen text tower, with guidance dropout.

v-prediction (Salimans & Ho 2022) on a schedule of zero terminal signal (Lin et al. 2023), so that plain backgrounds
come out at their own brightness. What an image shows is decided where noise is high (without its caption the loss
there is four times as large, at low noise the same), so timesteps are drawn more often from there, and all weigh alike:
min-SNR weights (Hang et al. 2023) are low there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from training.domains.domain import Domain
from training.loop import Draw, LoopConfig, autocast, device, train
from training.scenes import IMAGE_SIZE
from training.text_encoder import tokenize
from training.vae import to_tensor

_ENCODE_BATCH = 64


@dataclass(frozen=True)
class DiffusionConfig:
    loop: LoopConfig
    images: int  # drawn and encoded once
    block_out_channels: tuple[int, ...] = (96, 160)
    down_block_types: tuple[str, ...] = ("DownBlock2D", "CrossAttnDownBlock2D")
    up_block_types: tuple[str, ...] = ("CrossAttnUpBlock2D", "UpBlock2D")
    attention_heads: int = 4
    caption_dropout: float = 0.1
    compile: bool = True
    zero_snr: bool = True

    def smoke(self) -> DiffusionConfig:
        """Next to no work."""
        return replace(self, loop=self.loop.smoke(), images=32, compile=False)


@dataclass(frozen=True)
class Conditions:
    """What the U-Net is trained between, all of it frozen."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL


@dataclass(frozen=True)
class EncodedImages:
    """What images show and their scaled latents, drawn and encoded once."""

    specs: list[Any]
    latents: torch.Tensor  # [N, 4, h, w]


@dataclass(frozen=True)
class Batch:
    """Images to learn from, and what their captions say."""

    latents: torch.Tensor  # [B, 4, h, w], scaled, clean
    states: torch.Tensor  # [B, L, D], of the text encoder


@dataclass(frozen=True)
class Noised:
    """Latents on their way to noise, and where they go."""

    latents: torch.Tensor  # [B, 4, h, w]
    timesteps: torch.Tensor  # [B]
    velocity: torch.Tensor  # [B, 4, h, w], what the U-Net is to predict


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


def new_unet(config: DiffusionConfig, cross_attention_dim: int) -> UNet2DConditionModel:
    """Untrained, its weights drawn from the stage's seed."""
    torch.manual_seed(config.loop.seed)
    return UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 8,
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
    data = encode_images(config, domain, conditions.vae, directory / "latents.pt")
    scheduler = new_scheduler(zero_snr=config.zero_snr)

    def loss(draw: Draw) -> torch.Tensor:
        batch = draw_batch(config, domain, conditions, data, draw)
        noised = add_noise(scheduler, batch.latents, draw)
        with autocast():
            output = forward(noised.latents, noised.timesteps, batch.states).sample
        return F.mse_loss(output.float(), noised.velocity)

    return train("diffusion", unet, loss, config.loop, directory).eval().requires_grad_(False)


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


def draw_batch(
    config: DiffusionConfig, domain: Domain[Any], conditions: Conditions, data: EncodedImages, draw: Draw
) -> Batch:
    """Images of `data`, each with a caption that is new at every step, or with none."""
    rows = draw.numpy.integers(len(data.specs), size=draw.batch_size)
    captions = _captions(domain, [data.specs[row] for row in rows], draw, config.caption_dropout)
    return Batch(data.latents[rows].to(device()), read_captions(conditions, captions))


def read_captions(conditions: Conditions, captions: list[str]) -> torch.Tensor:
    """States of the text encoder, [B, L, D]."""
    with torch.no_grad(), autocast():
        states: torch.Tensor = conditions.text_encoder(tokenize(conditions.tokenizer, captions)).last_hidden_state
    return states


def add_noise(scheduler: DDIMScheduler, latents: torch.Tensor, draw: Draw) -> Noised:
    """Clean latents [B, 4, h, w] brought to timesteps of `draw_timesteps`."""
    noise = torch.randn(latents.shape, generator=draw.torch).to(latents.device)
    timesteps = draw_timesteps(len(latents), scheduler.config.num_train_timesteps, draw)
    alpha = scheduler.alphas_cumprod[timesteps].to(latents.device)[:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    return Noised(noisy, timesteps.to(latents.device), velocity)


def draw_timesteps(count: int, end: int, draw: Draw) -> torch.Tensor:
    """`count` timesteps below `end`, of density 1 / (2 sqrt(1 - t / end)): half of them in the noisiest quarter."""
    return (end * (1 - torch.rand(count, generator=draw.torch).square())).long().clamp(max=end - 1)


def _captions(domain: Domain[Any], specs: list[Any], draw: Draw, dropout: float) -> list[str]:
    dropped = draw.numpy.random(len(specs)) < dropout
    return ["" if drop else domain.caption(spec, draw.numpy) for spec, drop in zip(specs, dropped, strict=True)]
