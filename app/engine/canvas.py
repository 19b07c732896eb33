"""What a row of image-to-image or inpainting starts from, and what of it stays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from app.backends.base import Backend, EncodedImage, Path
from app.diffusion.latents import draw_noise
from app.diffusion.steps import NoiseLevel
from app.imaging import Pixels, Source, resize

_HALF = 0.5  # brightness from which a pixel of a mask is repainted


@dataclass(frozen=True)
class EncodedSource:
    """A request's images, encoded once for all its rows."""

    image: EncodedImage
    mask: torch.Tensor | None = None  # [1, h, w]: 1 is repainted, 0 is kept
    kept: EncodedImage | None = None  # of the image with grey where it is repainted


@dataclass(frozen=True, eq=False)
class Canvas:
    """One row's own."""

    clean: torch.Tensor  # [C, h, w]: latents of the image
    noise: torch.Tensor  # [C, h, w]: unit Gaussian
    mask: torch.Tensor | None = None  # [1, h, w]; None: nothing is kept by force
    beside: torch.Tensor | None = None  # [1 + C, h, w]: mask and latents of what is kept, for a denoiser that sees them

    def keep(self, latents: torch.Tensor, level: NoiseLevel) -> torch.Tensor:
        """`latents` at that level, with what the mask does not repaint as it is in the image."""
        if self.mask is None:
            return latents
        return (1 - self.mask) * self.at(level) + self.mask * latents

    def at(self, level: NoiseLevel) -> torch.Tensor:
        """The image under noise."""
        return self.clean * level.signal + self.noise * level.noise


def encode_source(backend: Backend, source: Source, width: int, height: int) -> EncodedSource:
    """Both images in the size, in pixels, that is made of them."""
    image = _to_tensor(resize(source.image, width, height))
    if source.mask is None:
        return EncodedSource(backend.encode_image(image))
    repainted = (torch.from_numpy(resize(source.mask, width, height) / 255.0) >= _HALF).float()[None]
    scale = backend.info.vae_scale_factor
    mask = F.interpolate(repainted[None], size=(height // scale, width // scale))[0].to(backend.info.device)
    return EncodedSource(backend.encode_image(image), mask, backend.encode_image(image * (1 - repainted)))


def start_canvas(
    backend: Backend, source: EncodedSource, path: Path, strength: float, generator: torch.Generator
) -> tuple[Canvas, torch.Tensor]:
    """A row's canvas and first latents. Draws in diffusers' order: the image, the noise, what is kept."""
    is_inpainting = backend.info.is_inpainting
    from_noise = source.mask is not None and strength == 1
    clean = torch.zeros_like(source.image.mean) if from_noise and is_inpainting else _draw(source.image, generator)
    noise = draw_noise(clean.shape, generator).to(clean.device)
    kept = _draw(source.kept, generator) if source.kept is not None else None
    if is_inpainting and source.mask is not None and kept is not None:
        canvas = Canvas(clean, noise, beside=torch.cat([source.mask, kept]))
    else:
        canvas = Canvas(clean, noise, source.mask)
    return canvas, noise * path.init_noise_sigma if from_noise else canvas.at(path.levels[0])


def _draw(encoded: EncodedImage, generator: torch.Generator) -> torch.Tensor:
    if encoded.std is None:
        return encoded.mean
    return encoded.mean + encoded.std * draw_noise(encoded.mean.shape, generator).to(encoded.mean.device)


def _to_tensor(pixels: Pixels) -> torch.Tensor:
    """RGB in -1..1, [3, H, W]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1).float()
