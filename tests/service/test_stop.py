"""Stopping: on a signal, with every accepted request answered; or because a child died."""

from __future__ import annotations

import base64
import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.running import wait_until
from tests.service.conftest import Start
from tests.support.serving import PATIENCE_S, Serving, children_of, path_without_nginx, problem

PLATFORM_LIMIT_S = 30.0  # from SIGTERM to SIGKILL
IMAGES = 22
SOME_SECONDS: dict[str, Any] = {  # of work, for a large answer
    "prompt": "a red star",
    "model": "endless",
    "num_images_per_prompt": IMAGES,
    "width": 256,
    "height": 256,
    "num_inference_steps": 700,
    "output_compression": 0,
}


def drains(service: Serving) -> bool:
    return "draining" in service.http.get("/ping").text


def assert_gets_its_images(accepted: Future[httpx.Response]) -> None:
    answer = accepted.result(PATIENCE_S)
    assert answer.status_code == 200, answer.text
    images = [base64.b64decode(image["b64_json"]) for image in answer.json()["images"]]
    assert [data[:4] for data in images] == [b"\x89PNG"] * IMAGES


@pytest.mark.parametrize(
    ("number", "nginx"),
    [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["SIGTERM", "SIGINT", "SIGTERM without nginx"],
)
def test_a_signal_lets_accepted_requests_end_and_refuses_new_ones(
    start: Start, endless_store: str, tmp_path: Path, number: signal.Signals, nginx: bool
) -> None:
    path = {} if nginx else {"PATH": path_without_nginx(tmp_path)}
    service = start(CARTRIDGE_ROM_SOURCES=endless_store, CARTRIDGE_MAX_BATCH_SIZE="1", **path).until_ready()
    accepted = service.begin(**SOME_SECONDS)
    service.local.process.send_signal(number)
    wait_until(lambda: drains(service), PATIENCE_S)
    refused = service.invoke(prompt="a red star")
    assert problem(refused, 503, "not_ready")["retryable"] is True
    assert int(refused.headers["retry-after"]) > 0
    assert service.http.get("/ping").status_code == 503
    assert_gets_its_images(accepted)
    assert service.local.process.wait(PLATFORM_LIMIT_S) == 0


def test_a_signal_to_an_idle_service_ends_it_within_the_platforms_limit(start: Start) -> None:
    service = start().until_ready()
    before = time.monotonic()
    assert service.local.stop() == 0
    assert time.monotonic() - before < PLATFORM_LIMIT_S
    assert service.events("starting") and service.events("draining") and service.events("stopped")


def test_a_signal_while_it_starts_ends_it_too(start: Start) -> None:
    service = start()
    wait_until(lambda: len(children_of(service.local.process.pid)) == 2, PATIENCE_S)
    service.local.process.send_signal(signal.SIGTERM)
    assert service.local.process.wait(PLATFORM_LIMIT_S) == 0


@pytest.mark.parametrize("name", ["nginx", "gunicorn"])
def test_the_death_of_a_child_ends_the_service_with_an_error(start: Start, name: str) -> None:
    service = start().until_ready()
    os.kill(service.child(name), signal.SIGKILL)
    assert service.local.process.wait(PLATFORM_LIMIT_S) not in (0, None)
    assert f"{name} ended" in service.stderr()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.local.url}/ping")


def test_the_death_of_the_worker_is_told_to_those_who_wait_and_mended(start: Start, endless_store: str) -> None:
    service = start(CARTRIDGE_ROM_SOURCES=endless_store, CARTRIDGE_MAX_BATCH_SIZE="1").until_ready()
    accepted = service.begin(**SOME_SECONDS)
    (worker,) = children_of(service.child("gunicorn"))
    os.kill(worker, signal.SIGKILL)
    problem(accepted.result(PATIENCE_S), 502, "bad_gateway")
    service.until_ready()
    assert service.invoke(prompt="a red star", num_inference_steps=1).status_code == 200
