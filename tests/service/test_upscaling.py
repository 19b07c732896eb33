"""Images enlarged: with `upscale`, and by an upscaler that is asked for as the model."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from app.backends.base import Guide, Upscaler
from app.backends.options import LoadOptions
from app.backends.registry import load_rom
from app.imaging import Pixels
from app.roms.catalog import read_rom
from tests.service.conftest import Start
from tests.support.serving import FAKE_STORE, Serving, problem, serving
from tests.support.upscalers import STEPS, build_srresnet, build_x4_upscaler
from training.recipes.upscaler import UPSCALER

ASKED: dict[str, Any] = {"prompt": "a red star", "model": "fake", "seed": 7, "width": 48, "height": 32}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upscalers: `upscaler` as its recipe makes it, `small` that makes 64x64 at most, and `x4` by diffusion."""
    folder = tmp_path_factory.mktemp("upscalers")
    UPSCALER.smoke().make(folder / "work", folder / "store")
    build_srresnet(folder / "store" / "small", num_doublings=1, limits={"max_pixels": 64 * 64})
    build_x4_upscaler(folder / "store" / "x4")
    return folder / "store"


@pytest.fixture(scope="module")
def enlarging(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    sources = f"{FAKE_STORE},file://{store}"
    directory = tmp_path_factory.mktemp("enlarging")
    with serving(directory, CARTRIDGE_ROM_SOURCES=sources, CARTRIDGE_READY="all", CARTRIDGE_DTYPE="float32") as started:
        yield started.until_ready()


def images_of(answer: Any) -> list[Pixels]:
    assert answer.status_code == 200, answer.text
    data = [base64.b64decode(image["b64_json"]) for image in answer.json()["images"]]
    return [np.asarray(Image.open(io.BytesIO(one))) for one in data]


def enlarged(rom: Path, image: Pixels, factor: int, prompt: str = "", seed: int = 0) -> Pixels:
    """By the upscaler itself."""
    upscaler = cast(Upscaler, load_rom(read_rom(rom), LoadOptions("cpu", "float32")))
    pixels = torch.tensor(image).permute(2, 0, 1) / 127.5 - 1
    made = upscaler.upscale(pixels, factor, Guide(prompt, seed), lambda: None)
    return cast(Pixels, ((made / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def assert_equal(made: Pixels, expected: Pixels) -> None:
    assert made.shape == expected.shape
    assert np.abs(made.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("factor", [2, 4])
def test_an_image_comes_enlarged_as_the_upscaler_does_it(enlarging: Serving, store: Path, factor: int) -> None:
    (plain,) = images_of(enlarging.invoke(**ASKED))
    answer = enlarging.invoke(**ASKED, upscale=factor, upscaler="upscaler")
    assert_equal(images_of(answer)[0], enlarged(store / "upscaler", plain, factor))
    content = answer.json()
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (48 * factor, 32 * factor)
    effective = content["effective"]
    assert (effective["upscale"], effective["upscaler"]) == (factor, "upscaler")
    assert (effective["width"], effective["height"], content["model"]) == (48, 32, "fake")
    assert content["timings"]["upscale_s"] > 0
    assert enlarging.metric("cartridge_upscale_seconds_count", rom="upscaler") > 0


def test_every_image_of_a_request_is_enlarged(enlarging: Serving, store: Path) -> None:
    plain = images_of(enlarging.invoke(**ASKED, n=2))
    both = images_of(enlarging.invoke(**ASKED, n=2, upscale=4, upscaler="x4"))
    for seed, before, after in zip((7, 8), plain, both, strict=True):
        assert_equal(after, enlarged(store / "x4", before, 4, "a red star", seed))


def test_an_image_that_is_redrawn_is_enlarged_too(enlarging: Serving) -> None:
    image = enlarging.invoke(**ASKED).json()["images"][0]["b64_json"]
    (made,) = images_of(enlarging.invoke(prompt="a", model="fake", image=image, upscale=2, upscaler="upscaler"))
    assert made.shape == (64, 96, 3)


def test_without_upscale_nothing_changes(enlarging: Serving) -> None:
    content = enlarging.invoke(**ASKED).json()
    effective = content["effective"]
    assert (effective["upscale"], effective["upscaler"], content["timings"]["upscale_s"]) == (1, None, 0.0)


@pytest.mark.parametrize("rom", ["upscaler", "x4"])
def test_an_upscaler_as_the_model_enlarges_the_image(enlarging: Serving, store: Path, rom: str) -> None:
    plain = enlarging.invoke(**ASKED).json()["images"][0]["b64_json"]
    answer = enlarging.invoke(model=rom, image=plain, seed=3)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(plain))))
    assert_equal(images_of(answer)[0], enlarged(store / rom, pixels, 4, "", 3))
    content = answer.json()
    assert (content["model"], content["effective"]["task"]) == (rom, "upscaling")
    assert content["effective"]["num_inference_steps"] == (STEPS if rom == "x4" else 0)
    assert [warning["param"] for warning in content["warnings"]] == ([] if rom == "x4" else ["seed"])


def test_what_an_upscaler_does_not_read_is_told(enlarging: Serving) -> None:
    image = enlarging.invoke(**ASKED).json()["images"][0]["b64_json"]
    content = enlarging.invoke(model="upscaler", image=image, upscale=2, width=64, strength=0.5, prompt="a").json()
    assert content["images"][0]["width"] == 96
    told = {(warning["code"], warning["param"]) for warning in content["warnings"]}
    assert told == {("ignored", "width"), ("ignored", "strength"), ("ignored", "prompt")}


def test_info_tells_the_factors(enlarging: Serving) -> None:
    roms = {rom["id"]: rom for rom in enlarging.http.get("/info").json()["roms"]}
    assert {rom_id: rom["upscale_factors"] for rom_id, rom in roms.items()} == {
        "fake": [],
        "small": [2],
        "upscaler": [2, 4],
        "x4": [4],
    }
    assert [rom_id for rom_id, rom in roms.items() if rom["makes_images"]] == ["fake"]
    accepts = roms["upscaler"]["accepts"]
    assert (accepts["required"], accepts["properties"]["upscale"]) == (["image"], {"enum": [2, 4], "default": 4})
    assert all(rom["memory"]["image_bytes"] > 0 for rom in roms.values() if rom["upscale_factors"])


def test_auto_is_never_an_upscaler(enlarging: Serving) -> None:
    assert enlarging.invoke(prompt="a").json()["routing"]["scores"].keys() == {"fake"}


@pytest.mark.parametrize(
    ("fields", "status", "code", "param", "said"),
    [
        ({"upscale": 3}, 422, "invalid_request", "upscale", "'upscaler' does 2 and 4"),
        ({"upscale": 1}, 422, "invalid_request", "upscale", "greater than or equal to 2"),
        ({"upscale": 2, "upscaler": "x4"}, 422, "invalid_request", "upscale", "'x4' does 4"),
        ({"upscale": 2, "upscaler": "fake"}, 422, "invalid_request", "upscaler", "makes images"),
        ({"upscale": 2, "upscaler": "upscaller"}, 404, "unknown_rom", "upscaler", "near: upscaler"),
        ({"upscaler": "upscaler"}, 422, "invalid_request", "upscaler", "without upscale"),
        ({"upscale": 2, "upscaler": "small"}, 422, "invalid_request", "upscale", "96x64 is above the 4096 pixels"),
        ({"model": "upscaler"}, 422, "invalid_request", "image", "enlarges images, and needs one"),
    ],
)
def test_what_cannot_be_is_refused(
    enlarging: Serving, fields: dict[str, Any], status: int, code: str, param: str, said: str
) -> None:
    error = problem(enlarging.invoke(**ASKED | fields), status, code)
    assert error["param"] == param
    assert said in error["message"]


def test_a_model_that_makes_images_needs_a_prompt(enlarging: Serving) -> None:
    image = enlarging.invoke(**ASKED).json()["images"][0]["b64_json"]
    error = problem(enlarging.invoke(model="fake", image=image), 422, "invalid_request")
    assert error["param"] == "prompt"


def test_without_an_upscaler_it_is_refused(service: Serving) -> None:
    error = problem(service.invoke(prompt="a", model="fake", upscale=2), 422, "invalid_request")
    assert (error["param"], error["message"]) == ("upscale", "there is no ROM that enlarges images")


def test_an_enlarged_image_that_fits_no_response_names_upscale(store: Path, start: Start) -> None:
    sources = f"{FAKE_STORE},file://{store}"
    started = start(CARTRIDGE_ROM_SOURCES=sources, CARTRIDGE_MAX_RESPONSE_BYTES="65536").until_ready()
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    image = base64.b64encode(buffer.getvalue()).decode()
    error = problem(started.invoke(model="upscaler", image=image), 413, "request_too_large")
    assert error["param"] == "upscale"


def test_an_upscaler_that_does_not_load_is_quarantined_and_the_others_serve(store: Path, start: Start) -> None:
    broken = store.parent / "broken"
    build_srresnet(broken / "odd")
    config = broken / "odd" / "upscaler" / "config.json"
    config.write_text(config.read_text().replace('"channels": 8', '"channels": 16'))
    started = start(CARTRIDGE_ROM_SOURCES=f"{FAKE_STORE},file://{broken}", CARTRIDGE_PRELOAD="fake").until_ready()
    error = problem(started.invoke(**ASKED, upscale=2), 503, "rom_unavailable")
    assert "odd" in error["message"]
    assert images_of(started.invoke(**ASKED))[0].shape == (32, 48, 3)
    assert problem(started.invoke(**ASKED, upscale=2), 422, "invalid_request")["param"] == "upscale"
