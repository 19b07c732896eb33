"""The ROMs of shapes in the repository, served as `./serve` serves them without any setting."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.judges.scene import judge
from tests.support.serving import Serving
from training.scenes import ObjectSpec, SceneSpec

PROMPT = "a large red heart on a black background"
TWINS = ("shapes", "shapes-small", "shapes-turbo")  # of them the service takes the one that time allows


def picture(service: Serving, **fields: Any) -> Image.Image:
    answer = service.invoke(**{"prompt": PROMPT, "model": "shapes", "seed": 7} | fields)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0]["b64_json"])))


def test_they_are_there_without_any_setting(shapes: Serving) -> None:
    answer = shapes.invoke(prompt=PROMPT).json()
    assert answer["model"] in TWINS


@pytest.mark.parametrize("rom_id", TWINS)
def test_the_same_request_gives_the_same_picture(shapes: Serving, rom_id: str) -> None:
    first, second = (picture(shapes, model=rom_id).tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("rom_id", TWINS)
def test_the_picture_shows_what_was_asked(shapes: Serving, rom_id: str) -> None:
    asked = SceneSpec("black", (ObjectSpec("heart", "red", "large"),))
    verdict = judge(asked, np.asarray(picture(shapes, model=rom_id)))
    assert verdict.all_right and verdict.size


@pytest.mark.parametrize("preset", ["default", "fast"])
def test_every_preset_answers(shapes: Serving, preset: str) -> None:
    assert picture(shapes, preset=preset).size == (128, 128)


@pytest.mark.parametrize("factor", [2, 4])
def test_its_pictures_are_enlarged_and_show_the_same(shapes: Serving, factor: int) -> None:
    plain, large = (picture(shapes, **fields) for fields in ({}, {"upscale": factor}))
    assert large.size == (128 * factor, 128 * factor)
    reduced = np.asarray(large.reduce(factor), dtype=float)
    assert np.abs(reduced - np.asarray(plain, dtype=float)).mean() < 2  # of 255 levels
