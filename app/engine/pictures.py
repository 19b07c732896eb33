"""Latents to pixels: the finished image, checked."""

from __future__ import annotations

import math

import torch

from app.backends.base import Backend
from app.backends.devices import return_memory
from app.backends.failures import Failure, classify
from app.core import Decoder, Notice
from app.engine.room import Room
from app.imaging import Pixels


def decode_images(
    backend: Backend, latents: torch.Tensor, decoder: Decoder, room: Room
) -> tuple[list[Pixels], list[Notice]]:
    """Latents [B, C, h, w] to one picture each. Black or broken ones are decoded again in float32, then flagged."""
    decoding = _Decoding(backend, decoder, room)
    pixels = decoding.run(latents)
    blank = [index for index, image in enumerate(pixels) if _is_blank(image)]
    if blank:
        pixels[blank] = decoding.run(latents[blank], upcast=True)
    notices = [
        Notice("blank_image", "prompt", f"image {index} is black or not a number, also when decoded in float32")
        for index in blank
        if _is_blank(pixels[index])
    ]
    if decoding.was_tiled:
        notices.append(Notice("tiled", "width", "memory was short: decoded in parts, whose seams may show"))
    return to_pixels(pixels), notices


class _Decoding:
    """All at once; where memory is short one after the other, or even each in parts."""

    def __init__(self, backend: Backend, decoder: Decoder, room: Room) -> None:
        self._backend = backend
        self._decoder = decoder
        self._room = room
        self.was_tiled = False

    def run(self, latents: torch.Tensor, *, upcast: bool = False) -> torch.Tensor:
        if self._fits(latents, upcast):
            try:
                return self._backend.decode(latents, decoder=self._decoder, upcast=upcast)
            except Exception as error:
                if classify(error) is not Failure.OUT_OF_MEMORY:
                    raise
            return_memory()
        if len(latents) > 1:
            return torch.cat([self.run(row[None], upcast=upcast) for row in latents])
        self.was_tiled = True
        return self._backend.decode(latents, decoder=self._decoder, upcast=upcast, tiled=True)

    def _fits(self, latents: torch.Tensor, upcast: bool) -> bool:
        info = self._backend.info
        pixels = len(latents) * math.prod(latents.shape[-2:]) * info.vae_scale_factor**2
        needed = info.memory.of_decoding(pixels, self._decoder)
        is_single = len(latents) == 1  # several can be decoded one by one, and idle ROMs stay
        return self._room.fits(self._backend, 2 * needed if upcast else needed, may_unload=is_single)


def to_pixels(images: torch.Tensor) -> list[Pixels]:
    """[B, 3, H, W] in -1..1 to 8-bit RGB; what is not a number becomes black."""
    levels = ((images.nan_to_num(-1.0) / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return list(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _is_blank(image: torch.Tensor) -> bool:
    return not bool(image.isfinite().all()) or bool((image <= -1).all())
