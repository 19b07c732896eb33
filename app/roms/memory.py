"""What a model's forward and decoding take of memory beside its weights, foretold from its configs.

The factors were measured as the peak of resident memory on SD v1-4, BK-SDM-small and SDXL with 32 to 128 latent cells a
side, in bfloat16 and float32, and lie above what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.core import Decoder
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import INDEX_NAME, TINY_DECODER, read_json
from app.roms.upscalers import SRRESNET, TILE, read_channels, srresnet_bytes

_ROW_TENSORS = 24  # as large as the first block's output, that a row holds at the peak
_WEIGHT_COPIES = 2.5  # of the largest convolution, in the layout that the device multiplies
_GUIDED_ROWS = 2
_USUAL_SIDE = 64  # latent cells
_DECODER_CHANNELS = ("block_out_channels", "decoder_block_out_channels")
_DECODER_TENSORS: Mapping[Decoder, int] = {"full": 13, "tiny": 8}  # as large as the last block's output


@dataclass(frozen=True)
class MemoryModel:
    row_cell_bytes: int  # of a forward, for each row and latent cell
    forward_bytes: int = 0  # of a forward, besides
    pixel_bytes: Mapping[Decoder, int] = field(default_factory=dict)  # of decoding, for each pixel

    def of_forward(self, rows: int, cells: int) -> int:
        return self.forward_bytes + self.row_cell_bytes * rows * cells

    def of_decoding(self, pixels: int, decoder: Decoder) -> int:
        return self.pixel_bytes.get(decoder, 0) * pixels


@dataclass(frozen=True)
class MemoryNeed:
    """What a ROM takes at most."""

    weights_bytes: int
    image_bytes: int  # beside the weights, of one guided image in the default preset's size; of an upscaler, a tile
    largest_image_bytes: int  # likewise, in the largest size that is allowed


def read_memory_model(directory: Path, itemsize: int) -> MemoryModel:
    """Of a diffusers directory, in values of `itemsize` bytes. Raises ManifestError where a config says too little."""
    unet = _read_channels(directory / "unet", "block_out_channels")
    decoders = _read_decoders(directory)
    return MemoryModel(
        row_cell_bytes=_ROW_TENSORS * unet[0] * itemsize,
        forward_bytes=int(_WEIGHT_COPIES * 3 * 3 * (2 * unet[-1]) * unet[-1] * itemsize),  # half its inputs are skips
        pixel_bytes={name: _DECODER_TENSORS[name] * widths[0] * itemsize for name, widths in decoders.items()},
    )


def predict_need(rom: Rom, itemsize: int) -> MemoryNeed | None:
    """None for a ROM that is no diffusers directory. Raises ManifestError where a config says too little."""
    if not (rom.model_directory / INDEX_NAME).exists():
        return None
    directory, weights_bytes = rom.model_directory, rom.num_parameters * itemsize
    if (directory / SRRESNET).is_dir():
        factor, channels = max(rom.factors), read_channels(directory)
        largest_side = math.isqrt(rom.manifest.limits.max_pixels) // factor
        needs = (srresnet_bytes(side, side, factor, channels, itemsize) for side in (TILE, largest_side))
        return MemoryNeed(weights_bytes, *needs)
    model = read_memory_model(directory, itemsize)
    halvings = len(_read_decoders(directory)["full"]) - 1

    def of_image(pixels: int) -> int:
        cells = pixels >> 2 * halvings
        return max(model.of_forward(_GUIDED_ROWS, cells), model.of_decoding(pixels, "full"))

    preset, own_side = rom.manifest.presets["default"], _read_side(directory / "unet") << halvings
    pixels = (preset.width or own_side) * (preset.height or own_side)
    return MemoryNeed(weights_bytes, of_image(pixels), of_image(rom.manifest.limits.max_pixels))


def _read_side(folder: Path) -> int:
    """Latent cells that the U-Net was made for."""
    side = read_json(folder / "config.json").get("sample_size")
    return side if isinstance(side, int) else _USUAL_SIDE


def _read_decoders(directory: Path) -> dict[Decoder, list[int]]:
    """Channels of each decoder by resolution, the picture's own first."""
    decoders: dict[Decoder, list[int]] = {"full": _read_channels(directory / "vae", *_DECODER_CHANNELS)}
    if (directory / TINY_DECODER).is_dir():
        decoders["tiny"] = _read_channels(directory / TINY_DECODER, *_DECODER_CHANNELS)
    return decoders


def _read_channels(folder: Path, *names: str) -> list[int]:
    """The first of these fields of a config that is there."""
    config = read_json(folder / "config.json")
    for name in names:
        if isinstance(channels := config.get(name), list) and channels and all(isinstance(n, int) for n in channels):
            return channels
    raise ManifestError(f"{folder.name}/config.json does not say {names[0]}")
