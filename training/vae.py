"""The image autoencoder: AutoencoderKL of factor 8, trained on crops of images (Rombach et al. 2022, section 3.1).

It knows the images of several domains, so that their ROMs can share it. A denoiser leaves small errors in the latents.
An autoencoder that sees a palette alone may lay its colours on a line: then red with an error is orange, and the mean
of red and green is blue. So the first three channels of a latent are the mean colour of its cell, the others hold what
is left, and both are decoded with noise in them. Some images swap and invert their channels, so that other colours are
known, too.
"""

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
_NOISE_FALLS = 0.7  # of the steps
_REFINING_NOISE = 0.15  # of the latents' standard deviation: what a denoiser leaves
_REFINING_RECOLOURED_SHARE = 0.1
_CELL = 8  # pixels: the side of what one latent stands for


@dataclass(frozen=True)
class VaeConfig:
    loop: LoopConfig
    refine_loop: LoopConfig  # after that, with latents held
    images: int  # drawn once, of each domain
    relatives: tuple[Domain[Any], ...] = ()  # what it learns besides, for ROMs that are to share it
    block_out_channels: tuple[int, ...] = (16, 32, 64, 128)
    latent_channels: int = 8
    kl_weight: float = 3e-4
    edge_weight: float = 0.5
    square_weight: float = 4.0
    colour_weight: float = 4.0
    hold_weight: float = 4.0
    latent_noise: float = 0.1  # the most there is of it, of the latents' standard deviation; half as much in the end
    recoloured_share: float = 0.3  # of the images

    def smoke(self) -> VaeConfig:
        return replace(self, loop=self.loop.smoke(), refine_loop=self.refine_loop.smoke(), images=32)


def train_vae(config: VaeConfig, domains: tuple[Domain[Any], ...], directory: Path) -> AutoencoderKL:
    """Latents of the first domain's images have unit variance once scaled."""
    torch.manual_seed(config.loop.seed)
    vae = new_vae(config).to(device())
    images = draw_images(config.images, config.loop.seed, *domains)

    def loss(draw: Draw) -> torch.Tensor:
        pixels = recolour(draw_crops(images, draw).pixels, draw, config.recoloured_share)
        falling = 1 - 0.5 * min(1.0, draw.step / (_NOISE_FALLS * config.loop.steps))
        return _Decoded.of(vae, pixels, config.latent_noise * falling, draw).error(config)

    train("vae", vae, loss, config.loop, directory)
    vae.eval().requires_grad_(False)
    vae.register_to_config(scaling_factor=_scaling_factor(vae, images[:256]))
    return vae


def refine_vae(
    config: VaeConfig, domains: tuple[Domain[Any], ...], vae: AutoencoderKL, directory: Path
) -> AutoencoderKL:
    """Train on, with more noise in the latents and fewer images recoloured.

    Latents of the first domain's images stay what they are: a U-Net that has learned on them remains right.
    """
    images = draw_images(config.images, config.loop.seed, *domains)
    before = copy.deepcopy(vae).requires_grad_(False)
    vae.train().requires_grad_(True)

    def loss(draw: Draw) -> torch.Tensor:
        crops = draw_crops(images, draw)
        pixels = recolour(crops.pixels, draw, _REFINING_RECOLOURED_SHARE)
        decoded = _Decoded.of(vae, pixels, _REFINING_NOISE, draw)
        own = torch.from_numpy(crops.rows < config.images)
        error = decoded.error(config)
        if own.any():
            moved = F.mse_loss(decoded.mean[own], _means(before, pixels[own]))
            error = error + config.hold_weight * vae.config.scaling_factor**2 * moved
        return error

    train("refine", vae, loss, config.refine_loop, directory)
    return vae.eval().requires_grad_(False)


def new_vae(config: VaeConfig) -> AutoencoderKL:
    levels = len(config.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.block_out_channels,
        layers_per_block=1,
        latent_channels=config.latent_channels,
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


@dataclass(frozen=True)
class Crops:
    """Parts of images."""

    pixels: torch.Tensor  # [B, 3, H, W] in -1..1
    rows: np.ndarray  # of the images, [B]


def draw_crops(images: np.ndarray, draw: Draw) -> Crops:
    """Crops, and every other time a quarter as many whole images, whose normalisation statistics differ."""
    whole = draw.step % 2 == 1
    size, count = (IMAGE_SIZE, draw.batch_size // 4) if whole else (_CROP, draw.batch_size)
    rows = draw.numpy.integers(len(images), size=count)
    corners = draw.numpy.integers(IMAGE_SIZE - size + 1, size=(count, 2))
    crops = [images[row, y : y + size, x : x + size] for row, (y, x) in zip(rows, corners, strict=True)]
    return Crops(to_tensor(np.stack(crops)), rows)


def recolour(pixels: torch.Tensor, draw: Draw, share: float) -> torch.Tensor:
    """A share of the images [B, 3, H, W] with their channels in another order, each of them inverted or not."""
    chosen = draw.numpy.random(len(pixels)) < share
    orders = draw.numpy.permuted(np.tile(np.arange(3), (len(pixels), 1)), axis=1)
    signs = draw.numpy.choice((-1.0, 1.0), size=(len(pixels), 3, 1, 1))
    orders[~chosen], signs[~chosen] = np.arange(3), 1.0
    order, sign = torch.from_numpy(orders).to(pixels.device), torch.from_numpy(signs).to(pixels)
    return pixels.gather(1, order[:, :, None, None].expand_as(pixels)) * sign


@dataclass(frozen=True)
class _Decoded:
    """Pixels, their latents' distribution, and what is decoded of a sample of it with noise in it."""

    pixels: torch.Tensor  # [B, 3, H, W], as is `decoded`
    decoded: torch.Tensor
    mean: torch.Tensor  # [B, C, h, w], as is `logvar`
    logvar: torch.Tensor

    @classmethod
    def of(cls, vae: AutoencoderKL, pixels: torch.Tensor, noise: float, draw: Draw) -> _Decoded:
        with autocast():
            posterior = vae.encode(pixels).latent_dist
        mean = posterior.mean.float()
        latents = _add_noise(posterior.sample(draw.torch).float(), mean.std().detach(), draw, noise)
        with autocast():
            decoded = vae.decode(latents).sample.float()
        return cls(pixels, decoded, mean, posterior.logvar.float())

    def error(self, config: VaeConfig) -> torch.Tensor:
        """Of pixels and of the cells' mean colours, with a light KL to the unit Gaussian."""
        colours = F.mse_loss(self.mean[:, :3], F.avg_pool2d(self.pixels, _CELL))
        kl: torch.Tensor = 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).mean()
        error = reconstruction_error(self.decoded, self.pixels, config)
        return error + config.colour_weight * colours + config.kl_weight * kl


def _means(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """The latents [B, C, h, w] of pixels, without gradients."""
    with torch.no_grad(), autocast():
        mean: torch.Tensor = vae.encode(pixels).latent_dist.mean
    return mean.float()


def _add_noise(latents: torch.Tensor, deviation: torch.Tensor | float, draw: Draw, most: float) -> torch.Tensor:
    """Latents [B, C, h, w] of that standard deviation with noise in them, of each image as much as chance has it."""
    level = most * torch.rand((len(latents), 1, 1, 1), generator=draw.torch)
    noise = level * torch.randn(latents.shape, generator=draw.torch)
    return latents + noise.to(latents.device) * deviation


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
