"""Pictures to larger pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch

from app.backends.base import Guide
from app.engine.pictures import to_pixels
from app.engine.room import Room
from app.engine.upscaling import Upscaling
from app.errors import OutOfRomMemory
from app.imaging import Pixels

_MIB = 1024 * 1024


@torch.inference_mode()
def enlarge(upscaling: Upscaling, image: Pixels, guide: Guide, room: Room, on_piece: Callable[[], None]) -> Pixels:
    """Raises OutOfRomMemory where memory is short, and what `on_piece` and the model raise."""
    upscaler, (height, width, _) = upscaling.upscaler, image.shape
    needed = upscaler.needed_bytes(height, width, upscaling.factor)
    if not room.fits(upscaler, needed):
        detail = f"enlarging {width}x{height} {upscaling.factor} times takes {needed // _MIB} MiB beside the weights"
        raise OutOfRomMemory(f"ROM {upscaling.rom_id!r}: {detail}", param="upscale")
    pixels = torch.tensor(image).permute(2, 0, 1).float() / 127.5 - 1
    return to_pixels(upscaler.upscale(pixels, upscaling.factor, guide, on_piece)[None])[0]
