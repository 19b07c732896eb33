"""The upscaler: an SRResNet trained on crops of scenes that are drawn large and reduced, and judged against bicubic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from app.backends.srresnet import SRResNet, enlarge_bicubic
from training.drawing import draw_scene
from training.loop import Draw, LoopConfig, autocast, device, train
from training.scenes import ObjectSpec, SceneSpec, held_out_combinations, random_spec
from training.vae import to_tensor

FACTORS = (2, 4)
_TRIES = 4  # to find a crop that is not of one colour


@dataclass(frozen=True)
class UpscalerConfig:
    loop: LoopConfig
    scenes: tuple[tuple[int, int], ...]  # (how many, pixels a side)
    channels: int = 32
    num_blocks: int = 6
    crop: int = 24  # pixels a side, of the small image
    square_weight: float = 2.0  # of the squared error beside the absolute one
    largest_blur: float = 0.7  # standard deviation in pixels of the small image, as decoders of latents leave
    largest_noise: float = 0.03  # standard deviation, of pixels in -1..1


@dataclass(frozen=True)
class Score:
    """Mean PSNR in dB over scenes that training has not seen."""

    factor: int
    side: int  # pixels of the small image
    is_soft: bool  # the small images were blurred and have noise
    bicubic: float
    upscaler: float


def train_upscaler(config: UpscalerConfig, directory: Path) -> SRResNet:
    torch.manual_seed(config.loop.seed)
    model = SRResNet(config.channels, config.num_blocks).to(device(), memory_format=torch.channels_last)
    for tail in model.tails:  # it begins as bicubic
        torch.nn.init.zeros_(tail.weight)
        torch.nn.init.zeros_(tail.bias)
    scenes = [_scenes(count, size, config.loop.seed) for count, size in config.scenes]
    trained = train("upscaler", model, lambda draw: _loss(model, scenes, draw, config), config.loop, directory)
    return trained.eval().requires_grad_(False)  # type: ignore[return-value]


def reduce(images: torch.Tensor, factor: int) -> torch.Tensor:
    """[B, C, H, W] to [B, C, H / factor, W / factor], by the mean of each area."""
    return F.interpolate(images, scale_factor=1 / factor, mode="area")


def soften(images: torch.Tensor, blur: float, noise: float, generator: torch.Generator) -> torch.Tensor:
    """Small images [B, 3, h, w] as a decoder of latents leaves them; `blur` in pixels, `noise` as pixels in -1..1."""
    if blur:
        offsets = torch.arange(-2, 3, device=images.device)
        weights = torch.exp(-(offsets**2) / (2 * blur**2))
        kernel = torch.outer(weights, weights) / weights.sum() ** 2
        padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
        images = F.conv2d(padded, kernel.expand(3, 1, 5, 5), groups=3)
    return images + noise * torch.randn(images.shape, generator=generator).to(images.device)


def psnr(images: torch.Tensor, targets: torch.Tensor) -> float:
    """Mean over the images of 10 log10(peak^2 / mean squared error), in dB, of 8-bit pixels; both in -1..1."""
    levels = [((one.clamp(-1, 1) / 2 + 0.5) * 255).round() for one in (images, targets)]
    errors = (levels[0] - levels[1]).square().mean(dim=(1, 2, 3)).clamp_min(1e-4)
    return float((10 * torch.log10(255**2 / errors)).mean())


def unseen_scenes(count: int, seed: int) -> list[SceneSpec]:
    """Half of combinations of shape, colour and background that no training scene has, half of others."""
    rng = np.random.default_rng((seed, 99))
    kept = held_out_combinations()
    chosen = rng.choice(len(kept), count // 2, replace=False)
    single = [
        SceneSpec(background, (ObjectSpec(shape, colour, str(rng.choice(["small", "large"]))),))
        for shape, colour, background in (kept[index] for index in chosen)
    ]
    return [*single, *(random_spec(rng) for _ in range(count - len(single)))]


@torch.no_grad()
def evaluate(model: SRResNet, seed: int, scenes: int = 64, sides: Sequence[int] = (64, 128)) -> list[Score]:
    """PSNR against the scene as it was drawn large: of each factor, size and kind of small image."""
    scores, specs = [], unseen_scenes(scenes, seed)
    for side in sides:
        for factor in FACTORS:
            rng = np.random.default_rng((seed, 98))
            targets = to_tensor(np.stack([draw_scene(spec, rng, side * factor) for spec in specs]))
            clean = reduce(targets, factor)
            generator = torch.Generator().manual_seed(seed)
            for is_soft, small in ((False, clean), (True, soften(clean, 0.5, 0.02, generator))):
                bicubic = psnr(enlarge_bicubic(small, factor), targets)
                made = torch.cat([model(part, factor) for part in torch.split(small, 4)])
                scores.append(Score(factor, side, is_soft, bicubic, psnr(made, targets)))
    return scores


def _scenes(count: int, size: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, 3, size))
    return np.stack([draw_scene(random_spec(rng), rng, size) for _ in range(count)])


def _loss(model: SRResNet, scenes: list[np.ndarray], draw: Draw, config: UpscalerConfig) -> torch.Tensor:
    factor = FACTORS[draw.step % len(FACTORS)]
    images = scenes[int(draw.numpy.integers(len(scenes)))]
    targets = to_tensor(np.stack([_crop(images, config.crop * factor, draw) for _ in range(draw.batch_size)]))
    if draw.numpy.random() < 0.5:
        small = reduce(targets, factor)
    else:
        small = F.interpolate(targets, scale_factor=1 / factor, mode="bicubic", antialias=True).clamp(-1, 1)
    if draw.numpy.random() < 0.5:
        blur = draw.numpy.uniform(0.2, config.largest_blur)
        small = soften(small, blur, draw.numpy.uniform(0, config.largest_noise), draw.torch)
    with autocast():
        made = model(small.contiguous(memory_format=torch.channels_last), factor)
    loss: torch.Tensor = F.l1_loss(made, targets) + config.square_weight * F.mse_loss(made, targets)
    return loss


def _crop(images: np.ndarray, side: int, draw: Draw) -> np.ndarray:
    """A part of a scene, uint8 [side, side, 3]: turned, and its colours exchanged, so that any may be met."""
    rng = draw.numpy
    for _ in range(_TRIES):
        image = images[rng.integers(len(images))]
        y, x = rng.integers(image.shape[0] - side + 1, size=2)
        crop = image[y : y + side, x : x + side]
        if (crop != crop[0, 0]).any():
            break
    crop = np.rot90(crop, int(rng.integers(4)))[..., rng.permutation(3)]
    inverted: np.ndarray = 255 - crop
    return crop if rng.random() < 0.5 else inverted
