"""What an upscaler's files say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import ManifestError
from app.roms.manifest import read_json

SRRESNET = "upscaler"  # the folder of an SRResNet
TILE = 256  # pixels a side that an SRResNet computes at once
_MOST_DOUBLINGS = 4
# Resident memory on a CPU, in float32 and bfloat16, from 128 to 512 pixels a side, peaks below what these give.
_PEAK_TENSORS = 3  # as large as the last doubling's output
_PIXEL_BYTES = 48  # of the whole enlarged image: copies of it in float32
_WORKSPACE_BYTES = 16 * 1024 * 1024


def read_factors(directory: Path) -> tuple[int, ...]:
    """What width and height can be multiplied by. Raises ManifestError where a config does not tell.

    An SRResNet has an output for each of its doublings; latent diffusion enlarges as far as its autoencoder does.
    """
    if (directory / SRRESNET).is_dir():
        doublings = read_json(directory / SRRESNET / "config.json").get("num_doublings")
        return tuple(2 ** (number + 1) for number in range(_checked(doublings, f"{SRRESNET}/config.json")))
    levels = read_json(directory / "vae" / "config.json").get("block_out_channels")
    halvings = len(levels) - 1 if isinstance(levels, list) else None
    return (2 ** _checked(halvings, "vae/config.json"),)


def srresnet_bytes(height: int, width: int, factor: int, channels: int, itemsize: int) -> int:
    """What an SRResNet takes at most to enlarge so many pixels a side, beside its weights."""
    tile = min(height, TILE) * min(width, TILE) * factor**2 * channels * itemsize * _PEAK_TENSORS
    return tile + height * width * factor**2 * _PIXEL_BYTES + _WORKSPACE_BYTES


def read_channels(directory: Path) -> int:
    """Of an SRResNet. Raises ManifestError."""
    channels = read_json(directory / SRRESNET / "config.json").get("channels")
    if not isinstance(channels, int):
        raise ManifestError(f"{SRRESNET}/config.json does not say channels")
    return channels


def _checked(doublings: Any, name: str) -> int:
    if not isinstance(doublings, int) or not 1 <= doublings <= _MOST_DOUBLINGS:
        raise ManifestError(f"{name} does not say how far it enlarges: 1 to {_MOST_DOUBLINGS} doublings")
    return doublings
