"""Pixels to bytes and back, within the size of a response."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app.core import OutputFormat, OutputOptions
from app.errors import RequestTooLarge
from app.imaging import Pixels, encode_image, encode_within, resize

FORMATS: tuple[OutputFormat, ...] = ("png", "jpeg", "webp")


def smooth() -> Pixels:
    """A gradient of every colour, 40 wide and 24 high."""
    rows, columns = np.mgrid[0:24, 0:40]
    return np.stack([rows * 10, columns * 6, 255 - rows * 10], axis=-1).astype(np.uint8)


def noise(seed: int = 0) -> Pixels:
    """What no format makes small."""
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def decode(data: bytes) -> tuple[str | None, Pixels]:
    with Image.open(io.BytesIO(data)) as image:
        return image.format, np.asarray(image.convert("RGB"))


def test_png_keeps_every_pixel() -> None:
    np.testing.assert_array_equal(decode(encode_image(noise(), OutputOptions("png")))[1], noise())


@pytest.mark.parametrize("output_format", FORMATS)
def test_image_comes_back_in_its_format_and_size(output_format: OutputFormat) -> None:
    kind, pixels = decode(encode_image(smooth(), OutputOptions(output_format)))
    assert kind == output_format.upper()
    assert pixels.shape == smooth().shape
    assert np.abs(pixels.astype(int) - smooth()).mean() < 6


@pytest.mark.parametrize("output_format", FORMATS)
def test_same_pixels_give_the_same_bytes(output_format: OutputFormat) -> None:
    options = OutputOptions(output_format, 70)
    assert encode_image(smooth(), options) == encode_image(smooth(), options)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_higher_quality_takes_more_bytes(output_format: OutputFormat) -> None:
    sizes = [len(encode_image(noise(), OutputOptions(output_format, quality))) for quality in (10, 50, 95)]
    assert sizes == sorted(set(sizes))


def test_more_png_effort_takes_fewer_bytes_and_keeps_every_pixel() -> None:
    idle, hard = (encode_image(smooth(), OutputOptions("png", effort)) for effort in (0, 100))
    assert len(hard) < len(idle)
    np.testing.assert_array_equal(decode(hard)[1], smooth())


def test_what_fits_is_left_as_asked() -> None:
    encoded = encode_within([smooth(), noise()], OutputOptions("png"), 1_000_000)
    assert (encoded.mime_type, encoded.notices) == ("image/png", ())
    np.testing.assert_array_equal(decode(encoded.data[1])[1], noise())


def test_what_does_not_fit_is_encoded_smaller_and_says_so() -> None:
    budget = len(encode_image(noise(), OutputOptions("png"))) - 1
    encoded = encode_within([noise()], OutputOptions("png"), budget)
    (notice,) = encoded.notices
    assert len(encoded.data[0]) <= budget
    assert (notice.code, notice.param) == ("changed", "output_format")
    assert encoded.mime_type == f"image/{(decode(encoded.data[0])[0] or '').lower()}"
    assert encoded.mime_type.removeprefix("image/") in notice.detail


def test_budget_is_that_of_all_images_together() -> None:
    one = len(encode_image(noise(), OutputOptions("png")))
    assert encode_within([noise()], OutputOptions("png"), one).notices == ()
    both = encode_within([noise(), noise(1)], OutputOptions("png"), one + 1)
    assert both.notices
    assert sum(map(len, both.data)) <= one + 1


def test_ladder_ends_in_the_smallest_rung() -> None:
    smallest = len(encode_image(noise(), OutputOptions("jpeg", 60)))
    assert encode_within([noise()], OutputOptions("png"), smallest).mime_type == "image/jpeg"


def test_what_fits_in_no_format_is_refused() -> None:
    with pytest.raises(RequestTooLarge) as raised:
        encode_within([noise()], OutputOptions("png"), 100)
    assert raised.value.param == "num_images_per_prompt"


def test_enlarging_keeps_the_picture() -> None:
    enlarged = resize(smooth(), 80, 48)
    assert enlarged.shape == (48, 80, 3)
    in_blocks = enlarged.reshape(24, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(in_blocks - smooth()).max() < 4


def test_enlarging_is_smooth_and_sharper_than_a_straight_line() -> None:
    """Lanczos: an edge overshoots a little, which interpolation between neighbours never does."""
    edge = np.full((8, 8, 3), 64, dtype=np.uint8)
    edge[:, 4:] = 192
    line = resize(edge, 64, 8)[4, :, 0].astype(int)
    assert line.min() < 64 and line.max() > 192
    assert np.abs(np.diff(line)).max() < 64


def test_one_colour_stays_one_colour_in_any_size() -> None:
    assert np.unique(resize(np.full((8, 16, 3), 77, dtype=np.uint8), 24, 40)).tolist() == [77]
