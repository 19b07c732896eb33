"""The ROM in the repository, served as `./serve` serves it without any setting."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image, ImageStat

from deploy.local import ROOT
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.skipif(
    not (ROOT / "model_store" / "shapes").is_dir(), reason="model_store/shapes is still being trained"
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("service"), CARTRIDGE_ROM_SOURCES="") as started:
        yield started.until_ready()


def picture(service: Serving, prompt: str, **fields: Any) -> Image.Image:
    answer = service.invoke(prompt=prompt, **fields)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0]["b64_json"])))


def test_it_is_there_without_any_setting(shapes: Serving) -> None:
    answer = shapes.invoke(prompt="a large red star on a black background", num_inference_steps=2).json()
    assert answer["model"] == "shapes"


def test_the_same_request_gives_the_same_picture(shapes: Serving) -> None:
    first, second = (picture(shapes, "a large red star on a black background", seed=7).tobytes() for _ in range(2))
    assert first == second


def test_a_picture_has_the_colours_that_were_asked(shapes: Serving) -> None:
    image = picture(shapes, "a large red star on a black background", seed=7)
    red, green, blue = (ImageStat.Stat(image).mean[channel] for channel in range(3))
    assert red > 2 * max(green, blue)
