"""Many requests at once, and requests that take too long."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from deploy.running import wait_until
from tests.service.conftest import Note, Start
from tests.support.serving import PATIENCE_S, Serving, problem

ENDLESS: dict[str, Any] = {"prompt": "a red star", "model": "endless", "num_images_per_prompt": 64}
CROWD = 8
PINGS = 100


@pytest.mark.parametrize(("model", "images", "steps"), [("endless", 8, 200), ("tiny", 1, 20)])
def test_ping_answers_under_load(service: Serving, model: str, images: int, steps: int, note: Note) -> None:
    """The platform waits 2 s. What it takes is noted and not judged: this machine may have other work."""
    enough = threading.Event()
    busy: dict[str, Any] = {"prompt": "a red star", "model": model, "n": images, "num_inference_steps": steps}

    def client() -> set[int]:
        statuses = set()
        while not enough.is_set():
            statuses.add(service.invoke(**busy).status_code)
        return statuses

    with ThreadPoolExecutor(CROWD) as threads, httpx.Client(base_url=service.local.url, timeout=2.0) as prober:
        crowd = [threads.submit(client) for _ in range(CROWD)]
        try:
            answers = [(time.perf_counter(), prober.get("/ping"), time.perf_counter()) for _ in range(PINGS)]
        finally:
            enough.set()
    seconds = sorted(ended - started for started, _, ended in answers)
    note(f"median {statistics.median(seconds) * 1000:.1f} ms, p99 {seconds[PINGS * 99 // 100 - 1] * 1000:.1f} ms")
    assert {(ping.status_code, ping.json()["status"]) for _, ping, _ in answers} == {(200, "ready")}
    assert [future.result() for future in crowd] == [{200}] * CROWD


def test_a_crowd_gets_what_each_of_it_asked_for(service: Serving) -> None:
    prompts = [f"a star, number {number}" for number in range(16)]

    def images(prompt: str) -> Any:
        return service.invoke(prompt=prompt, seed=7).json()["images"]

    alone = [images(prompt) for prompt in prompts]
    with ThreadPoolExecutor(len(prompts)) as threads:
        together = list(threads.map(images, prompts))
    assert together == alone
    assert len({image["b64_json"] for (image,) in alone}) == len(prompts)


def test_a_passed_deadline_is_504_that_asks_for_no_retry(service: Serving) -> None:
    """Nobody has asked for this size, so the service tries what it does not know to be hopeless."""
    answer = service.invoke(**ENDLESS | {"width": 72, "height": 72}, timeout_s=0.2, on_deadline="fail")
    error = problem(answer, 504, "deadline_exceeded")
    assert (error["param"], error["retryable"]) == ("timeout_s", False)
    assert answer.headers["x-should-retry"] == "false"
    assert service.invoke(prompt="a red star").status_code == 200


def test_a_deadline_of_one_request_leaves_its_neighbour_alone(service: Serving) -> None:
    asked = ENDLESS | {"num_images_per_prompt": 8, "width": 256, "height": 256, "seed": 7}
    alone = service.invoke(**asked).json()["images"]
    neighbour = service.begin(**asked)
    hurried = service.invoke(**asked | {"seed": 7000}, timeout_s=0.2)
    assert hurried.status_code in (200, 429)
    assert hurried.status_code == 429 or hurried.json()["images"][0]["finish_reason"] == "deadline"
    assert neighbour.result(PATIENCE_S).json()["images"] == alone


def test_a_full_queue_is_429_with_the_time_to_come_back(start: Start, endless_store: str) -> None:
    service = start(CARTRIDGE_ROM_SOURCES=endless_store, CARTRIDGE_MAX_QUEUE_SIZE="1").until_ready()
    accepted = service.begin(**ENDLESS, timeout_s=5)
    refused = service.invoke(prompt="a red star")
    assert problem(refused, 429, "overloaded")["retryable"] is True
    assert int(refused.headers["retry-after"]) * 1000 == int(refused.headers["retry-after-ms"]) > 0
    assert service.http.get("/ping").status_code == 200
    assert accepted.result().status_code in (200, 504)
    assert service.invoke(prompt="a red star", num_inference_steps=1).status_code == 200


def test_ping_is_503_while_the_engine_makes_no_progress(start: Start, endless_store: str) -> None:
    """Here a single step counts as too long, so that it stands still again and again."""
    service = start(CARTRIDGE_ROM_SOURCES=endless_store, CARTRIDGE_STALL_AFTER_S="0.001").until_ready()
    pings: list[httpx.Response] = []

    def ping() -> int:
        pings.append(service.http.get("/ping"))
        return pings[-1].status_code

    with closing(service.call(**ENDLESS, width=1024, height=1024)):
        wait_until(lambda: ping() == 503, PATIENCE_S)
        assert pings[-1].json()["status"] == "stalled"
        assert "no progress" in pings[-1].json()["reason"]
    wait_until(lambda: ping() == 200, PATIENCE_S)
