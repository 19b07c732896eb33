"""Pixels to bytes: PNG, JPEG and WebP, within the size that a response may have."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.core import Notice, OutputOptions
from app.errors import RequestTooLarge

Pixels = npt.NDArray[np.uint8]  # [H, W, 3], RGB
_PNG_COMPRESSION = 3  # zlib level; higher ones cost far more time than they save bytes
_DEFAULT_QUALITY = 90
_SMALLER = (OutputOptions("webp", 90), OutputOptions("jpeg", 85), OutputOptions("jpeg", 60))  # tried in this order


@dataclass(frozen=True)
class EncodedImages:
    data: tuple[bytes, ...]
    mime_type: str
    notices: tuple[Notice, ...] = ()


def encode_image(pixels: Pixels, options: OutputOptions) -> bytes:
    """One image in `options.format`. The same pixels and options give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=options.format.upper(), **_save_arguments(options))
    return buffer.getvalue()


def encode_within(images: list[Pixels], options: OutputOptions, max_bytes: int) -> EncodedImages:
    """All images in the asked format, or in the first smaller one that fits `max_bytes`, with a notice.

    Raises RequestTooLarge when nothing fits.
    """
    for attempt in (options, *_SMALLER):
        data = tuple(encode_image(pixels, attempt) for pixels in images)
        if sum(map(len, data)) <= max_bytes:
            detail = f"{options.format} was too large for the response; {attempt.format} is used"
            notices = () if attempt is options else (Notice("changed", "output_format", detail),)
            return EncodedImages(data, f"image/{attempt.format}", notices)
    raise RequestTooLarge(
        f"{len(images)} images do not fit a response of this service in any format", param="num_images_per_prompt"
    )


def _save_arguments(options: OutputOptions) -> dict[str, int]:
    if options.format == "png":
        return {"compress_level": _PNG_COMPRESSION if options.compression is None else options.compression * 9 // 100}
    return {"quality": _DEFAULT_QUALITY if options.compression is None else options.compression}
