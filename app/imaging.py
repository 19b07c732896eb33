"""Pixels to bytes and back: PNG, JPEG and WebP, base64, within limits that are checked before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from app.core import MaskMode, Notice, OutputOptions
from app.errors import InvalidRequest, RequestTooLarge

Pixels = npt.NDArray[np.uint8]  # [H, W, 3], RGB
Levels = npt.NDArray[np.uint8]  # [H, W], 0 to 255
_FORMATS = ("PNG", "JPEG", "WEBP")
_PNG_COMPRESSION = 3  # zlib level; higher ones cost far more time than they save bytes
_DEFAULT_QUALITY = 90
_SMALLER = (OutputOptions("webp", 90), OutputOptions("jpeg", 85), OutputOptions("jpeg", 60))  # tried in this order


@dataclass(frozen=True)
class EncodedImages:
    data: tuple[bytes, ...]
    mime_type: str
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a request brings along to be redrawn."""

    image: Pixels
    mask: Levels | None = None  # of the image's size; bright where it is to be redrawn


def decode_image(text: str, param: str, max_bytes: int, max_pixels: int) -> Pixels:
    """RGB from base64 or a data URL, upright. `param` is the field it came in.

    Raises InvalidRequest, or RequestTooLarge before decoding when text or header say that a limit is exceeded.
    """
    return np.asarray(_decode(text, param, max_bytes, max_pixels).convert("RGB"))


def decode_mask(text: str, mode: MaskMode, param: str, max_bytes: int, max_pixels: int) -> Levels:
    """The brightness of an image or, in mode `alpha`, its transparency. Raises as `decode_image` does."""
    image = _decode(text, param, max_bytes, max_pixels)
    if mode == "white":
        return np.asarray(image.convert("L"))
    if not image.has_transparency_data:
        raise InvalidRequest("has no transparency, which mask_mode 'alpha' reads", param=param)
    return 255 - np.asarray(image.convert("RGBA"))[..., 3]


def _decode(text: str, param: str, max_bytes: int, max_pixels: int) -> Image.Image:
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    if len(encoded) * 3 // 4 > max_bytes:
        raise RequestTooLarge(f"the image is above the limit of {max_bytes} bytes", param=param)
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("is not base64, nor a data URL", param=param) from error
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours, and lower
            if image.width * image.height > max_pixels:
                detail = f"{image.width}x{image.height} is above the limit of {max_pixels} pixels"
                raise RequestTooLarge(detail, param=param)
            return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise RequestTooLarge(f"the image is above the limit of {max_pixels} pixels", param=param) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidRequest(f"is not a whole image in {', '.join(_FORMATS)}", param=param) from error


def encode_image(pixels: Pixels, options: OutputOptions) -> bytes:
    """One image in `options.format`. The same pixels and options give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=options.format.upper(), **_save_arguments(options))
    return buffer.getvalue()


def resize(pixels: Pixels | Levels, width: int, height: int) -> Pixels | Levels:
    """Another size in pixels, by Lanczos resampling."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def encode_within(
    images: list[Pixels], options: OutputOptions, max_bytes: int, param: str = "num_images_per_prompt"
) -> EncodedImages:
    """All images in the asked format, or in the first smaller one that fits `max_bytes`, with a notice.

    Raises RequestTooLarge, naming the field `param`, when nothing fits.
    """
    for attempt in (options, *_SMALLER):
        data = tuple(encode_image(pixels, attempt) for pixels in images)
        if sum(map(len, data)) <= max_bytes:
            detail = f"{options.format} was too large for the response; {attempt.format} is used"
            notices = () if attempt is options else (Notice("changed", "output_format", detail),)
            return EncodedImages(data, f"image/{attempt.format}", notices)
    height, width, _ = images[0].shape
    detail = f"{len(images)} images of {width}x{height} do not fit a response of this service in any format"
    raise RequestTooLarge(detail, param=param)


def _save_arguments(options: OutputOptions) -> dict[str, int]:
    if options.format == "png":
        return {"compress_level": _PNG_COMPRESSION if options.compression is None else options.compression * 9 // 100}
    return {"quality": _DEFAULT_QUALITY if options.compression is None else options.compression}
