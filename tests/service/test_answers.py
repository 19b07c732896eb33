"""What a good request gets."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.serving import Serving


def as_text(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(text: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def only_image(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["images"]
    return base64.b64decode(image["b64_json"])


def test_an_image_comes_in_the_size_that_was_asked(service: Serving) -> None:
    data = only_image(service.invoke(prompt="a red star", width=128, height=64))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("PNG", (128, 64))


@pytest.mark.parametrize("model", ["fake", "tiny"])
def test_the_same_request_gives_the_same_bytes(service: Serving, model: str) -> None:
    fields: dict[str, Any] = {"prompt": "a red star", "model": model, "seed": 7, "num_inference_steps": 4}
    first, second = (only_image(service.invoke(**fields)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("model", ["fake", "tiny"])
def test_another_seed_gives_other_bytes(service: Serving, model: str) -> None:
    fields: dict[str, Any] = {"prompt": "a red star", "model": model, "num_inference_steps": 4}
    first, second = (only_image(service.invoke(**fields, seed=seed)) for seed in (7, 8))
    assert first != second


def test_image_i_of_a_request_is_the_image_of_seed_plus_i(service: Serving) -> None:
    several = service.invoke(prompt="a red star", seed=7, n=3).json()["images"]
    alone = service.invoke(prompt="a red star", seed=9).json()["images"]
    assert [image["seed"] for image in several] == [7, 8, 9]
    assert several[2] == alone[0]


def test_a_list_of_prompts_gets_images_of_each_in_order(service: Serving) -> None:
    answer = service.invoke(prompt=["a red star", "a blue ring"], seed=7, n=2).json()
    assert answer["effective"]["prompt"] == ["a red star", "a blue ring"]
    assert [image["seed"] for image in answer["images"]] == [7, 8, 9, 10]
    for index, prompt in enumerate(("a red star", "a red star", "a blue ring", "a blue ring")):
        assert answer["images"][index] == service.invoke(prompt=prompt, seed=7 + index).json()["images"][0]


def test_an_image_is_redrawn_where_the_mask_says(service: Serving) -> None:
    image = service.invoke(prompt="a red star", seed=7, width=64, height=32).json()["images"][0]["b64_json"]
    mask = Image.new("L", (64, 32))
    mask.paste(255, (32, 0, 64, 32))
    asked = {"prompt": "a blue ring", "seed": 8, "image": image, "mask_image": as_text(mask)}
    answer = service.invoke(**asked).json()
    effective = answer["effective"]
    assert (effective["task"], effective["width"], effective["height"]) == ("inpainting", 64, 32)
    before, after = (picture(text) for text in (image, answer["images"][0]["b64_json"]))
    assert np.abs(after[:, :32].astype(int) - before[:, :32]).max() <= 1  # the fake model knows whole colours
    assert np.abs(after[:, 32:].astype(int) - before[:, 32:]).max() > 20


def test_an_image_that_is_no_multiple_is_resized_with_a_warning(service: Serving) -> None:
    answer = service.invoke(prompt="a", image=as_text(Image.new("RGB", (70, 33)))).json()
    assert (answer["images"][0]["width"], answer["images"][0]["height"]) == (64, 32)
    assert [(warning["code"], warning["param"]) for warning in answer["warnings"]] == [("changed", "image")]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_accept_gets_the_bytes_of_one_image(service: Serving, kind: str) -> None:
    answer = service.http.post("/invocations", json={"prompt": "a red star"}, headers={"Accept": f"image/{kind}"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}")
    with Image.open(io.BytesIO(answer.content)) as image:
        image.load()
        assert image.format == kind.upper()


def test_accept_refuses_to_drop_images(service: Serving) -> None:
    fields = {"prompt": "a red star", "n": 2}
    answer = service.http.post("/invocations", json=fields, headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "num_images_per_prompt")


def test_the_answer_says_what_was_really_done(service: Serving) -> None:
    answer = service.invoke(prompt="a red star", seed=7, steps=3).json()
    effective = answer["effective"]
    assert (effective["num_inference_steps"], effective["scheduler"], effective["seeds"]) == (3, "ddim", [7])
    assert (answer["model"], answer["routing"]["chosen"], answer["warnings"]) == ("fake", "fake", [])


def test_a_request_without_a_seed_can_be_repeated_from_its_answer(service: Serving) -> None:
    first = service.invoke(prompt="a red star").json()["images"][0]
    again = service.invoke(prompt="a red star", seed=first["seed"]).json()["images"][0]
    assert again == first
