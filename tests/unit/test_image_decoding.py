"""Images that callers send: taken when sound, refused by field when not, never decoded when too large."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.core import OutputFormat, OutputOptions
from app.errors import InvalidRequest, RequestTooLarge
from app.imaging import decode_image, encode_image

LIMITS = {"max_bytes": 1_000_000, "max_pixels": 64 * 64}
PIXELS = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_png_comes_back_as_it_went() -> None:
    text = as_text(encode_image(PIXELS, OutputOptions("png")))
    assert np.array_equal(decode_image(text, "image", **LIMITS), PIXELS)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_lossy_formats_keep_size(output_format: OutputFormat) -> None:
    text = as_text(encode_image(PIXELS, OutputOptions(output_format)))
    assert decode_image(text, "image", **LIMITS).shape == PIXELS.shape


def test_a_data_url_is_taken() -> None:
    text = "data:image/png;base64," + as_text(encode_image(PIXELS, OutputOptions("png")))
    assert np.array_equal(decode_image(text, "image", **LIMITS), PIXELS)


def test_a_turned_photograph_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", exif=exif)
    assert decode_image(as_text(buffer.getvalue()), "image", **LIMITS).shape == (48, 32, 3)


@pytest.mark.parametrize("text", ["not base64!", as_text(b"not an image"), "", as_text(b"GIF89a" + bytes(50))])
def test_what_is_no_image_is_refused_by_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_image(text, "mask_image", **LIMITS)
    assert caught.value.param == "mask_image" and caught.value.http_status == 422


def test_a_cut_image_is_refused() -> None:
    data = encode_image(PIXELS, OutputOptions("png"))
    with pytest.raises(InvalidRequest, match="whole image"):
        decode_image(as_text(data[: len(data) // 2]), "image", **LIMITS)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(RequestTooLarge, match="bytes"):
        decode_image("A" * 2_000_000, "image", **LIMITS)


@pytest.mark.parametrize("side", [65, 5_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
    with pytest.raises(RequestTooLarge, match="pixels") as caught:
        decode_image(as_text(bomb), "image", **LIMITS)
    assert caught.value.http_status == 413
