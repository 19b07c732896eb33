"""Too little time for what was asked: a part of it, less of it, or a refusal that says what would fit.

How long a machine takes is measured first, so that the budgets are too short on a fast one and enough on a slow one.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from deploy.running import ROOT
from tests.support.roms import write_manifest
from tests.support.serving import Serving, problem, serving

SHAPES = ROOT / "model_store" / "shapes"
FEW, MANY = 10, 100  # steps
SLACK_S = 2.0  # for a machine that does something else just then
STAR: dict[str, Any] = {"prompt": "a large red star", "model": "hasty", "n": 4, "seed": 7}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The embedded ROM as `hasty`, with a preset for every way to degrade, and `quick`, which takes no time."""
    store = tmp_path_factory.mktemp("store")
    (store / "hasty").mkdir()
    for path in SHAPES.iterdir():
        if path.name != "rom.yaml":
            (store / "hasty" / path.name).symlink_to(path)
    preset = yaml.safe_load((SHAPES / "rom.yaml").read_text(encoding="utf-8"))["presets"]["default"]
    ways: dict[str, dict[str, Any]] = {
        "default": {"partial_share": 0.01, "degrade": ["steps"]},
        "smaller": {"degrade": ["size"]},
        "replaced": {"degrade": ["twin"], "twin": "quick"},
    }
    presets = {name: preset | way for name, way in ways.items()}
    write_manifest(store / "hasty", family="stable_diffusion", presets=presets)
    write_manifest(store / "quick", presets={"default": {"guidance_scale": 1.0}})
    with serving(tmp_path_factory.mktemp("service"), CARTRIDGE_ROM_SOURCES=f"file://{store}") as started:
        yield started.until_ready()


def too_short(service: Serving, **fields: Any) -> float:
    """A budget in seconds that does for far more than FEW steps and for far fewer than MANY."""
    answers = [accepted(service.invoke(**STAR | fields, num_inference_steps=FEW)) for _ in range(2)]
    return 3 * float(answers[-1]["timings"]["total_s"])


def accepted(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def sizes(answer: dict[str, Any]) -> set[tuple[int, int]]:
    """Of the pictures themselves."""
    pictures = [Image.open(io.BytesIO(base64.b64decode(image["b64_json"]))) for image in answer["images"]]
    return {picture.size for picture in pictures}


def test_a_partial_answer_comes_in_time_and_says_so(service: Serving) -> None:
    timeout_s = too_short(service)
    started = time.monotonic()
    answer = accepted(service.invoke(**STAR, num_inference_steps=MANY, timeout_s=timeout_s))
    assert time.monotonic() - started < timeout_s + SLACK_S
    assert 1 <= answer["effective"]["completed_steps"] < answer["effective"]["num_inference_steps"] == MANY
    assert {image["finish_reason"] for image in answer["images"]} == {"deadline"}
    assert sizes(answer) == {(128, 128)}


def test_enough_time_makes_the_answer_complete(service: Serving) -> None:
    answer = accepted(service.invoke(**STAR, num_inference_steps=FEW))
    assert answer["effective"]["completed_steps"] == FEW
    assert {image["finish_reason"] for image in answer["images"]} == {"completed"}
    assert answer["warnings"] == []


def test_all_or_nothing_is_refused_at_once_with_what_would_fit(service: Serving) -> None:
    timeout_s = too_short(service)
    asked = {**STAR, "num_inference_steps": MANY, "timeout_s": timeout_s, "on_deadline": "fail"}
    started = time.monotonic()
    answer = service.invoke(**asked)
    assert time.monotonic() - started < timeout_s
    error = problem(answer, 429, "overloaded")
    assert error["fits"].keys() == {"num_inference_steps"}
    assert 1 <= error["fits"]["num_inference_steps"] < MANY
    assert (error["param"], error["retryable"]) == ("timeout_s", False)
    assert "retry-after" not in answer.headers
    assert answer.headers["x-should-retry"] == "false"
    assert accepted(service.invoke(**asked | {"num_inference_steps": 1}))["effective"]["completed_steps"] == 1


def test_degrade_takes_fewer_steps_and_warns(service: Serving) -> None:
    timeout_s = too_short(service)
    asked = {**STAR, "num_inference_steps": MANY, "timeout_s": timeout_s, "on_deadline": "degrade"}
    answer = accepted(service.invoke(**asked))
    assert 1 <= answer["effective"]["num_inference_steps"] < MANY
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["param"]) == ("degraded", "num_inference_steps")
    assert str(MANY) in warning["detail"]


def test_degrade_makes_half_the_size_and_enlarges_it(service: Serving) -> None:
    size = {"width": 96, "height": 96, "preset": "smaller"}
    timeout_s = too_short(service, **size)
    asked = {**STAR, **size, "num_inference_steps": MANY, "timeout_s": timeout_s, "on_deadline": "degrade"}
    answer = accepted(service.invoke(**asked))
    effective = answer["effective"]
    assert (effective["num_inference_steps"], effective["width"], effective["height"]) == (MANY, 48, 48)
    assert {(image["width"], image["height"]) for image in answer["images"]} == sizes(answer) == {(96, 96)}
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["param"]) == ("degraded", "width")


def test_degrade_goes_over_to_the_faster_twin(service: Serving) -> None:
    chosen = {"width": 128, "height": 128, "preset": "replaced"}
    timeout_s = too_short(service, **chosen)
    asked = {**STAR, **chosen, "num_inference_steps": MANY, "timeout_s": timeout_s, "on_deadline": "degrade"}
    answer = accepted(service.invoke(**asked))
    assert (answer["model"], answer["routing"]["chosen"], sizes(answer)) == ("quick", "quick", {(128, 128)})
    assert "twin of 'hasty'" in answer["routing"]["reason"]
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["param"]) == ("degraded", "model")
