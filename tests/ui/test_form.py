"""What was typed, as the fields of a request."""

from __future__ import annotations

from typing import Any

import pytest

from app.ui.form import Form
from app.ui.offer import Offer

BLANK: dict[str, Any] = {
    "prompt": "a star",
    "negative_prompt": "",
    "model": "auto",
    "preset": None,
    "num_inference_steps": "",
    "guidance_scale": None,
    "seed": " ",
    "num_images_per_prompt": "1",
    "upscale": "none",
}


def test_what_is_blank_is_not_asked() -> None:
    assert Form(**BLANK).fields() == {"prompt": "a star", "model": "auto", "num_images_per_prompt": 1}


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("7", 7),
        (" 9223372036854775807 ", 2**63 - 1),
        ("0", 0),
        ("2.5", 2.5),
        ("x", "x"),
        ("inf", "inf"),
        ("nan", "nan"),
    ],
)
def test_numbers_are_asked_as_they_were_typed(typed: str, asked: Any) -> None:
    assert Form(**BLANK | {"seed": typed}).fields()["seed"] == asked


def test_an_empty_prompt_is_left_to_the_service() -> None:
    assert Form(**BLANK | {"prompt": ""}).fields()["prompt"] == ""


def test_roms_that_make_no_images_are_not_offered_but_their_factors_are() -> None:
    maker = {
        "id": "a",
        "title": "",
        "makes_images": True,
        "upscale_factors": [],
        "presets": {"default": {}, "fast": {}},
    }
    upscaler = {"id": "u", "title": "U", "makes_images": False, "upscale_factors": [4, 2], "presets": {"default": {}}}
    offer = Offer.of({"roms": [maker, upscaler]})
    assert [value for _, value in offer.models()] == ["auto", "a"]
    assert (offer.presets_of("auto"), offer.presets_of("u")) == (["default", "none", "fast"], ["default", "none"])
    assert offer.enlargements() == ["none", "2", "4"]
