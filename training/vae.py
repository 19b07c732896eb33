"""The image autoencoder: AutoencoderKL of factor 8, trained on crops of images (Rombach et al. 2022, section 3.1)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from training.domains.domain import Domain
from training.loop import Draw, LoopConfig, autocast, device, train
from training.scenes import IMAGE_SIZE

_CROP = 64  # pixels


@dataclass(frozen=True)
class VaeConfig:
    loop: LoopConfig
    decoder_loop: LoopConfig  # at the end, the decoder alone
    images: int  # drawn once, of each domain
    widen_loop: LoopConfig | None = None  # before that, on relatives of the domain too
    block_out_channels: tuple[int, ...] = (16, 32, 64, 128)
    kl_weight: float = 3e-5
    edge_weight: float = 0.5
    square_weight: float = 4.0
    anchor_weight: float = 2.0
    latent_noise: float = 0.06  # of the latents' standard deviation, while the decoder trains alone

    def smoke(self) -> VaeConfig:
        widen = self.widen_loop and self.widen_loop.smoke()
        return replace(
            self, loop=self.loop.smoke(), decoder_loop=self.decoder_loop.smoke(), widen_loop=widen, images=32
        )


def train_vae(config: VaeConfig, domain: Domain[Any], directory: Path) -> AutoencoderKL:
    torch.manual_seed(config.loop.seed)
    vae = new_vae(config).to(device())
    images = draw_images(config.images, config.loop.seed, domain)
    train("vae", vae, lambda draw: _loss(vae, draw_crops(images, draw), draw, config)[0], config.loop, directory)
    vae.eval().requires_grad_(False)
    vae.register_to_config(scaling_factor=_scaling_factor(vae, images[:256]))
    return vae


def widen_vae(
    config: VaeConfig, domains: tuple[Domain[Any], ...], vae: AutoencoderKL, directory: Path
) -> AutoencoderKL:
    """Learn to show the relatives of the first domain too, while the latents of its own images stay where they are.

    So a denoiser of the first domain's latents is one of the wider autoencoder, too.
    """
    assert config.widen_loop is not None
    own, others = (
        draw_images(config.images, config.loop.seed, domains[0]),
        draw_images(config.images, config.loop.seed, *domains[1:]),
    )
    scale, wide = vae.config.scaling_factor, copy.deepcopy(vae).requires_grad_(True).train()

    def loss(draw: Draw) -> torch.Tensor:
        anchored = draw_crops(own, draw)
        with torch.no_grad(), autocast():
            anchors = vae.encode(anchored).latent_dist.mean.float()
        total, means = _loss(wide, torch.cat([anchored, draw_crops(others, draw)]), draw, config)
        return total + config.anchor_weight * F.mse_loss(means[: len(anchors)] * scale, anchors * scale)

    train("wide_vae", wide, loss, config.widen_loop, directory)
    return wide.eval().requires_grad_(False)


def refine_decoder(
    config: VaeConfig, domains: tuple[Domain[Any], ...], vae: AutoencoderKL, directory: Path
) -> AutoencoderKL:
    """Sharpen the decoder, and make it forgive small errors of the denoiser. Latents stay what they are."""
    images = draw_images(config.images, config.loop.seed, *domains)
    vae.decoder.requires_grad_(True)

    def loss(draw: Draw) -> torch.Tensor:
        pixels = draw_crops(images, draw)
        with torch.no_grad(), autocast():
            latents = vae.encode(pixels).latent_dist.mean.float()
        noise = torch.randn(latents.shape, generator=draw.torch).to(latents.device)
        with autocast():
            decoded = vae.decode(latents + noise * config.latent_noise / vae.config.scaling_factor).sample.float()
        return reconstruction_error(decoded, pixels, config)

    train("decoder", vae, loss, config.decoder_loop, directory)
    return vae.eval().requires_grad_(False)


def new_vae(config: VaeConfig) -> AutoencoderKL:
    levels = len(config.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.block_out_channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=IMAGE_SIZE,
    )


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 [B, H, W, 3] to float in -1..1, [B, 3, H, W]."""
    pixels = torch.from_numpy(images).to(device()).permute(0, 3, 1, 2)
    return (pixels.float() / 127.5 - 1).contiguous()


def draw_images(count: int, seed: int, *domains: Domain[Any]) -> np.ndarray:
    """As many of each."""
    rng = np.random.default_rng((seed, 1))
    return np.stack([domain.image(domain.random_spec(rng), rng) for domain in domains for _ in range(count)])


def draw_crops(images: np.ndarray, draw: Draw) -> torch.Tensor:
    """Crops, and every other time a quarter as many whole images, whose normalisation statistics differ."""
    whole = draw.step % 2 == 1
    size, count = (IMAGE_SIZE, draw.batch_size // 4) if whole else (_CROP, draw.batch_size)
    chosen = draw.numpy.integers(len(images), size=count)
    corners = draw.numpy.integers(IMAGE_SIZE - size + 1, size=(count, 2))
    crops = [images[i, y : y + size, x : x + size] for i, (y, x) in zip(chosen, corners, strict=True)]
    return to_tensor(np.stack(crops))


def _loss(vae: AutoencoderKL, pixels: torch.Tensor, draw: Draw, config: VaeConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Absolute and squared error of pixels, error of their differences, and a light KL to the unit Gaussian.

    The means of the latents come with it.
    """
    with autocast():
        posterior = vae.encode(pixels).latent_dist
        decoded = vae.decode(posterior.sample(draw.torch)).sample.float()
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl: torch.Tensor = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return reconstruction_error(decoded, pixels, config) + config.kl_weight * kl, mean


def reconstruction_error(decoded: torch.Tensor, pixels: torch.Tensor, config: VaeConfig) -> torch.Tensor:
    error: torch.Tensor = F.l1_loss(decoded, pixels) + config.square_weight * F.mse_loss(decoded, pixels)
    error += config.edge_weight * _edge_error(decoded, pixels)
    return error


def _edge_error(decoded: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    error = decoded - pixels
    differences: torch.Tensor = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return differences / 2


@torch.no_grad()
def _scaling_factor(vae: AutoencoderKL, images: np.ndarray) -> float:
    """1 / standard deviation of the latents, so that diffusion sees unit variance."""
    latents = torch.cat([vae.encode(to_tensor(part)).latent_dist.mean for part in np.array_split(images, 8)])
    return round(1 / float(latents.std()), 5)
