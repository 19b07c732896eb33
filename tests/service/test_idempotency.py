"""A request that is sent twice under one id is done once."""

from __future__ import annotations

from typing import Any

import pytest

from app.client import Client
from tests.support.serving import Serving, problem

STEP_COUNT = "cartridge_denoise_step_seconds_count"
ASKED: dict[str, Any] = {"prompt": "a red star", "model": "fake", "num_inference_steps": 3}  # of a random seed


def test_the_same_request_again_gets_the_answer_that_is_there(service: Serving) -> None:
    first = service.invoke(**ASKED, request_id="twice")
    steps = service.metric(STEP_COUNT, rom="fake")
    again = service.invoke(**ASKED, request_id="twice")
    assert (again.status_code, again.content) == (200, first.content)
    assert service.metric(STEP_COUNT, rom="fake") == steps


def test_the_same_request_meanwhile_joins_the_one_that_runs(service: Serving) -> None:
    asked: dict[str, Any] = ASKED | {"model": "endless", "num_inference_steps": 1000, "width": 512, "height": 512}
    steps = service.metric(STEP_COUNT, rom="endless")
    with Client(service.local.url) as client, Client(service.local.url) as other:
        first, second = client.stream(**asked, request_id="joined"), other.stream(**asked, request_id="joined")
        assert next(first).content == next(second).content
        *_, completed = first
        *_, also_completed = second
    assert completed.name == "completed"
    assert also_completed == completed
    assert service.metric(STEP_COUNT, rom="endless") == steps + 1000


@pytest.mark.parametrize("change", [{"prompt": "a blue star"}, {"seed": 7}, {"timeout_s": 20}, {"stream": True}])
def test_another_request_under_the_same_id_is_409_that_asks_for_no_retry(
    service: Serving, change: dict[str, Any]
) -> None:
    assert service.invoke(**ASKED, request_id="taken").status_code == 200
    answer = service.invoke(**ASKED | change, request_id="taken")
    error = problem(answer, 409, "request_conflict")
    assert (error["param"], error["retryable"]) == ("request_id", False)
    assert answer.headers["x-should-retry"] == "false"


def test_another_request_under_the_id_of_one_that_runs_is_409(service: Serving) -> None:
    long = ASKED | {"model": "endless", "num_inference_steps": 1000, "n": 16, "width": 512, "height": 512}
    waiting = service.begin(**long, request_id="busy")
    problem(service.invoke(**ASKED, request_id="busy"), 409, "request_conflict")
    assert service.http.delete("/requests/busy").status_code == 200
    assert waiting.result().status_code == 499


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amzn-SageMaker-Inference-Id": "by-header"},
        {"X-Amzn-SageMaker-Custom-Attributes": "request_id=by-attribute"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_headers_name_a_request_as_well(service: Serving, headers: dict[str, str]) -> None:
    first, again = (service.http.post("/invocations", json=ASKED, headers=headers) for _ in range(2))
    assert (first.status_code, again.content) == (200, first.content)
    other = service.http.post("/invocations", json=ASKED | {"seed": 7}, headers=headers)
    problem(other, 409, "request_conflict")


def test_requests_without_an_id_are_each_done(service: Serving) -> None:
    first, second = (service.invoke(**ASKED).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["effective"]["seeds"] != second["effective"]["seeds"]


def test_an_error_is_not_remembered(service: Serving) -> None:
    wrong = service.invoke(**ASKED, width=100, request_id="mended")
    problem(wrong, 422, "invalid_request")
    assert service.invoke(**ASKED, request_id="mended").status_code == 200


def test_a_finished_answer_is_streamed_again_too(service: Serving) -> None:
    with Client(service.local.url) as client:
        *_, first = client.stream(**ASKED, request_id="streamed")
        *_, again = client.stream(**ASKED, request_id="streamed")
    assert again == first
