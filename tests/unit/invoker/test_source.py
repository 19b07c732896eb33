"""The images of a request: decoded, checked, and nothing of them of no use without a word."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.core import GenerationParams
from app.errors import InvalidRequest, RequestTooLarge
from app.imaging import Source
from app.invoker.source import read_source

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 24, 3)).astype(np.uint8)


def as_text(pixels: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def mask_of(level: int, hole: int) -> Any:
    mask = np.full((16, 24), level, np.uint8)
    mask[4:8, 4:8] = hole
    return mask


def read(**asked: Any) -> tuple[Source | None, list[tuple[str, str]]]:
    source, notices = read_source(GenerationParams("a lighthouse", **asked))
    return source, [(notice.code, notice.param) for notice in notices]


def test_request_without_an_image_has_no_source() -> None:
    assert read() == (None, [])


def test_image_and_mask_are_what_was_sent() -> None:
    mask = mask_of(0, 255)
    source, notices = read(image=as_text(IMAGE), mask_image=as_text(mask))
    assert source is not None
    assert notices == []
    assert np.array_equal(source.image, IMAGE)
    assert source.mask is not None
    assert np.array_equal(source.mask, mask)


def test_transparent_pixels_are_the_mask_where_the_mode_says_so() -> None:
    transparent = np.dstack([IMAGE, mask_of(255, 0)])
    source, _ = read(image=as_text(IMAGE), mask_image=as_text(transparent), mask_mode="alpha")
    assert source is not None
    assert source.mask is not None
    assert np.array_equal(source.mask, mask_of(0, 255))


@pytest.mark.parametrize("level", [0, 255])
def test_mask_that_marks_nothing_or_everything_is_told(level: int) -> None:
    source, notices = read(image=as_text(IMAGE), mask_image=as_text(mask_of(level, level)))
    assert source is not None
    assert notices == [("no_effect", "mask_image")]


@pytest.mark.parametrize(
    ("param", "asked"),
    [
        ("mask_image", {"mask_image": as_text(mask_of(0, 255))}),
        ("strength", {"strength": 0.5}),
        ("image", {"image": "aGVsbG8="}),
        ("image", {"image": "no base64!"}),
        ("mask_image", {"image": as_text(IMAGE), "mask_image": "aGVsbG8="}),
        ("mask_image", {"image": as_text(IMAGE), "mask_image": as_text(mask_of(0, 255)[:8])}),
        ("mask_image", {"image": as_text(IMAGE), "mask_image": as_text(IMAGE), "mask_mode": "alpha"}),
    ],
)
def test_what_cannot_be_used_is_refused_by_field(param: str, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(**asked)
    assert raised.value.param == param


def test_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(RequestTooLarge) as raised:
        read(image=as_text(np.zeros((5000, 5000), np.uint8)))
    assert raised.value.param == "image"
