"""Starting: at once, in the open, or not at all."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest

from deploy.running import wait_until
from tests.service.conftest import Note, Start
from tests.support.serving import PATIENCE_S, Serving, path_without_nginx, problem


def open_since(port: int) -> float:
    """The moment when the port accepted a connection."""

    def accepts() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(accepts, PATIENCE_S)
    return time.monotonic()


def test_the_first_probe_after_the_port_opens_is_answered_in_json(start: Start, note: Note) -> None:
    service = start()
    opened = open_since(service.local.port)
    answer = service.http.get("/ping", timeout=2.0)  # what the platform waits
    note(f"answered {(time.monotonic() - opened) * 1000:.0f} ms after the port opened")
    assert answer.status_code in (200, 503)
    assert answer.json()["reason"]


def test_ping_is_503_with_a_reason_until_it_is_200(start: Start) -> None:
    service = start()
    open_since(service.local.port)
    answers: list[httpx.Response] = []

    def ready() -> bool:
        answers.append(service.http.get("/ping"))
        return answers[-1].status_code == 200

    wait_until(ready, PATIENCE_S)
    *early, last = answers
    assert early
    assert {(answer.status_code, answer.json()["status"]) for answer in early} == {(503, "starting")}
    assert all(answer.json()["reason"] for answer in early)
    assert last.json() == {"status": "ready", "reason": "ready"}
    assert service.http.post("/ping").json() == last.json()


def test_it_says_when_it_is_ready_and_how_to_try_it(start: Start) -> None:
    service = start().until_ready()
    wait_until(lambda: "ready: " in service.stderr(), PATIENCE_S)
    assert f"http://localhost:{service.local.port}  ROMs: fake  try: curl" in service.stderr()


def test_a_taken_port_stops_the_start_with_what_to_do(service: Serving, start: Start) -> None:
    second = start(SAGEMAKER_BIND_TO_PORT=str(service.local.port))
    assert second.local.process.wait(PATIENCE_S) != 0
    assert f"port {service.local.port} is taken" in second.stderr()
    assert "SAGEMAKER_BIND_TO_PORT" in second.stderr()
    assert service.http.get("/ping").status_code == 200


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("CARTRIDGE_DTYPE", "float12", "'float32', 'bfloat16' or 'float16'"),
        ("CARTRIDGE_MAX_QUEUE_SIZE", "0", "greater than or equal to 1"),
        ("CARTRIDGE_MAX_REQUEST_BYTES", "six", "integer"),
        ("CARTRIDGE_REQUEST_TIMEOUT_S", "-1", "greater than 0"),
        ("CARTRIDGE_LOG_PROMPTS", "perhaps", "boolean"),
        ("CARTRIDGE_ROM_SOURCES", "ftp://example.org", "file://"),
        ("CARTRIDGE_ROM_SOURCES", "file:///nowhere", "not a directory"),
        ("CARTRIDGE_PRELOAD", "fke", "there are: fake"),
        ("CARTRIDGE_DEFAULT_ROM", "fke", "there are: fake"),
        ("SAGEMAKER_BIND_TO_PORT", "99999", "1 to 65535"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(start: Start, variable: str, value: str, allowed: str) -> None:
    service = start(**{variable: value})
    assert service.local.process.wait(PATIENCE_S) != 0
    lines = service.stderr().splitlines()
    assert any(variable in line and value in line and allowed in line for line in lines), service.stderr()


def test_a_sound_rom_that_a_setting_names_starts_the_service(start: Start) -> None:
    service = start(CARTRIDGE_PRELOAD="fake", CARTRIDGE_READY="fake", CARTRIDGE_DEFAULT_ROM="fake").until_ready()
    assert service.invoke(prompt="a red star").json()["routing"]["chosen"] == "fake"


def test_without_nginx_it_says_so_and_serves_all_the_same(start: Start, tmp_path: Path) -> None:
    service = start(PATH=path_without_nginx(tmp_path)).until_ready()
    assert "nginx is not installed" in service.stderr()
    assert service.invoke(prompt="a red star").status_code == 200
    problem(service.http.post("/drain"), 404, "not_found")
    problem(service.http.post("/invocations", content=b" " * 8_000_000), 413, "request_too_large")
    assert service.http.get("/ping").status_code == 200


def test_with_nginx_nobody_outside_can_drain_it(service: Serving) -> None:
    problem(service.http.post("/drain"), 404, "not_found")
    assert service.http.get("/ping").status_code == 200
