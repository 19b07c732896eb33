"""Work that nobody waits for any more is not done."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pytest

from app.client import Client
from tests.support.serving import PATIENCE_S, Serving, problem

STEPS = 1000
BRIEF: dict[str, Any] = {  # about a second of work
    "prompt": "a red star",
    "model": "endless",
    "num_images_per_prompt": 8,
    "num_inference_steps": STEPS,
    "width": 256,
    "height": 256,
}
LONG: dict[str, Any] = BRIEF | {"num_images_per_prompt": 16, "width": 512, "height": 512}


def steps_before(message: str) -> int:
    """How many steps a cancelled request had taken."""
    (done,) = re.findall(rf"cancelled after (\d+) of {STEPS} steps", message)
    return int(done)


def test_delete_ends_a_request_and_tells_whoever_waits_for_it(service: Serving) -> None:
    waiting = service.begin(**LONG, request_id="cancel/1")
    deleted = service.http.delete("/requests/cancel/1")
    assert (deleted.status_code, deleted.json()) == (200, {"id": "cancel/1", "status": "cancelled"})
    error = problem(waiting.result(PATIENCE_S), 499, "cancelled")
    assert (error["request_id"], error["retryable"]) == ("cancel/1", False)
    assert steps_before(error["message"]) < STEPS
    service.until_depth(0)


@pytest.mark.parametrize("request_id", ["nobody", "a/b", "100%25"])
def test_delete_of_what_does_not_run_is_404(service: Serving, request_id: str) -> None:
    error = problem(service.http.delete(f"/requests/{request_id}"), 404, "unknown_request")
    assert request_id.replace("%25", "%") in error["message"]


def test_delete_of_what_has_ended_is_404(service: Serving) -> None:
    assert service.invoke(prompt="a red star", request_id="ended").status_code == 200
    problem(service.http.delete("/requests/ended"), 404, "unknown_request")
    assert service.invoke(prompt="a red star", request_id="ended").status_code == 200


def test_the_id_of_a_cancelled_request_can_be_used_again(service: Serving) -> None:
    waiting = service.begin(**LONG, request_id="again")
    service.http.delete("/requests/again")
    assert waiting.result(PATIENCE_S).status_code == 499
    assert service.invoke(prompt="a blue star", request_id="again").status_code == 200


def test_a_client_that_hangs_up_takes_its_request_along(service: Serving) -> None:
    with closing(service.call(**LONG, request_id="hung-up")):
        service.until_depth(1)
    service.until_depth(0)
    line = service.logged("hung-up")
    assert (line["status"], line["code"]) == (499, "cancelled")
    assert steps_before(line["message"]) < STEPS


def test_a_client_that_hangs_up_leaves_the_request_to_others_who_wait_for_it(service: Serving) -> None:
    before = service.metric("cartridge_denoise_step_seconds_count", rom="endless")
    with Client(service.local.url) as staying, Client(service.local.url) as leaving:
        rest, left = (client.stream(**BRIEF, request_id="shared") for client in (staying, leaving))
        assert [next(rest).name, next(left).name] == ["queued", "queued"]
        left.close()
        *steps, completed = rest
    assert (steps[-1].content["step"], completed.name) == (STEPS, "completed")
    assert service.metric("cartridge_denoise_step_seconds_count", rom="endless") == before + STEPS


def test_a_cancelled_request_leaves_its_neighbour_alone(service: Serving) -> None:
    alone = service.invoke(**BRIEF, seed=7).json()["images"]
    cancelled = service.begin(**BRIEF | {"num_images_per_prompt": 64}, request_id="neighbour")
    neighbour = service.begin(**BRIEF, seed=7)
    service.http.delete("/requests/neighbour")
    assert cancelled.result(PATIENCE_S).status_code == 499
    assert neighbour.result(PATIENCE_S).json()["images"] == alone


def test_cancelled_requests_are_counted(service: Serving) -> None:
    before = service.metric("cartridge_requests_total", status="499", rom="none")
    waiting = service.begin(**LONG, request_id="counted")
    service.http.delete("/requests/counted")
    assert waiting.result(PATIENCE_S).status_code == 499
    service.logged("counted")
    assert service.metric("cartridge_requests_total", status="499", rom="none") == before + 1
