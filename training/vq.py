"""The tokenizer of images: a VQGAN (Esser et al. 2021), a picture as 32 x 32 words of a codebook.

Four losses: the reconstruction's; the codebook's and its commitment (van den Oord et al. 2017); the distance of
features (of the encoder of `shapes`, compared as Zhang et al. 2018 do with networks that were trained on photographs);
a critic of patches. Words that nothing uses are put where pictures are (Dhariwal et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, VQModel
from torch import nn

from training.critic import PatchCritic, adaptive_weight, critic_loss, maker_loss
from training.domains.domain import Domain
from training.loop import Draw, LoopConfig, autocast, device, train
from training.vae import VaeConfig, draw_crops, draw_images, reconstruction_error

_RESTART_EVERY_STEPS = 50


@dataclass(frozen=True)
class VqConfig:
    loop: LoopConfig
    images: int  # drawn once, of each domain
    codes: int = 1024
    code_channels: int = 4
    block_out_channels: tuple[int, ...] = (32, 48, 64)
    feature_weight: float = 0.5
    critic_weight: float = 0.2
    critic_from: float = 0.5  # of the steps: until then there is nothing to criticise
    restart_until: float = 0.7  # of the steps

    def smoke(self) -> VqConfig:
        return replace(self, loop=self.loop.smoke(), images=16, block_out_channels=(16, 16, 16), critic_from=0.0)


class VqGan(nn.Module):
    """What trains together."""

    used: torch.Tensor

    def __init__(self, vq: VQModel, codes: int) -> None:
        super().__init__()
        self.vq = vq
        self.critic = PatchCritic()
        self.register_buffer("used", torch.zeros(codes, dtype=torch.bool))  # since words were last restarted


def new_vq(config: VqConfig, image_size: int) -> VQModel:
    levels = len(config.block_out_channels)
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.block_out_channels,
        layers_per_block=1,
        latent_channels=config.code_channels,
        num_vq_embeddings=config.codes,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=image_size,
    )


def train_vq(
    config: VqConfig, domains: tuple[Domain[Any], ...], features: AutoencoderKL, image_size: int, directory: Path
) -> VQModel:
    """`features`: whose encoder tells how alike two pictures are."""
    torch.manual_seed(config.loop.seed)
    gan = VqGan(new_vq(config, image_size), config.codes).to(device())
    images = draw_images(config.images, config.loop.seed, *domains)
    judge = VaeConfig(config.loop, config.loop, config.images)

    def loss(draw: Draw) -> torch.Tensor:
        pixels = draw_crops(images, draw).pixels
        decoded, commitment, used, latents = _reconstruct(gan.vq, pixels)
        restart_unused(gan, used, latents, draw, config)
        kept = reconstruction_error(decoded, pixels, judge)
        kept = kept + config.feature_weight * feature_distance(features, decoded, pixels)
        if draw.step < config.critic_from * config.loop.steps:
            return kept + commitment
        critical = maker_loss(gan.critic, decoded)
        weight = config.critic_weight * adaptive_weight(kept, critical, gan.vq.decoder.conv_out.weight)
        return kept + commitment + weight * critical + critic_loss(gan.critic, pixels, decoded)

    train("vq", gan, loss, config.loop, directory)
    return gan.vq.eval().requires_grad_(False)


def feature_distance(model: AutoencoderKL, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of unit feature vectors at every level of the encoder, of pictures [B, 3, H, W]."""
    distances = []
    with autocast():
        x = model.encoder.conv_in(torch.cat([made, real]))
        for block in model.encoder.down_blocks:
            x = block(x)
            ours, theirs = F.normalize(x.float(), dim=1).chunk(2)
            distances.append((ours - theirs.detach()).square().sum(dim=1).mean())
    return torch.stack(distances).mean()


def _reconstruct(vq: VQModel, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures again, the codebook's loss, the words that were used, and the latents [N, C] before they were words."""
    with autocast():
        latents = vq.encode(pixels).latents
    words, commitment, (_, _, used) = vq.quantize(latents.float())
    with autocast():
        decoded = vq.decoder(vq.post_quant_conv(words))
    return decoded.float(), commitment, used, latents.detach().float().permute(0, 2, 3, 1).flatten(0, 2)


@torch.no_grad()
def restart_unused(gan: VqGan, used: torch.Tensor, latents: torch.Tensor, draw: Draw, config: VqConfig) -> None:
    """At first all words, then now and then those that were not used since, become latents of this batch."""
    gan.used[used] = True
    if draw.step % _RESTART_EVERY_STEPS or draw.step > config.restart_until * config.loop.steps:
        return
    unused = torch.ones_like(gan.used) if draw.step == 0 else ~gan.used
    chosen = torch.randint(len(latents), (int(unused.sum()),), generator=draw.torch)
    gan.vq.quantize.embedding.weight[unused] = latents[chosen]
    gan.used.zero_()
