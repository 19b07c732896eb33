"""The images that a request brings along, decoded and checked."""

from __future__ import annotations

from app.core import GenerationParams, Notice
from app.errors import InvalidRequest
from app.imaging import Source, decode_image, decode_mask

_MAX_BYTES = 26 * 1024 * 1024  # no body is larger
_MAX_PIXELS = 16 * 1024 * 1024
_HALF = 128  # levels from here on are repainted


def read_source(params: GenerationParams) -> tuple[Source | None, list[Notice]]:
    """None without an image. Raises InvalidRequest or RequestTooLarge naming the field."""
    if params.image is None:
        for name, value in (("mask_image", params.mask_image), ("strength", params.strength)):
            if value is not None:
                raise InvalidRequest("is of no use without an image", param=name)
        return None, []
    image = decode_image(params.image, "image", _MAX_BYTES, _MAX_PIXELS)
    if params.mask_image is None:
        return Source(image), []
    mask = decode_mask(params.mask_image, params.mask_mode, "mask_image", _MAX_BYTES, _MAX_PIXELS)
    if mask.shape != image.shape[:2]:
        (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
        raise InvalidRequest(f"is {mask_width}x{mask_height}, and the image {width}x{height}", param="mask_image")
    notices = []
    if (mask < _HALF).all():
        notices.append(Notice("no_effect", "mask_image", "marks nothing to repaint"))
    if (mask >= _HALF).all():
        notices.append(Notice("no_effect", "mask_image", "marks everything to repaint: nothing of the image is kept"))
    return Source(image, mask), notices
