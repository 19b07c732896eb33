"""nginx's own answers have the shape of ours."""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.running import free_port, wait_until
from tests.support.serving import PATIENCE_S, Serving, command_of, problem


@contextmanager
def nginx_alone(service: Serving, *, backend_listens: bool) -> Iterator[httpx.Client]:
    """A second nginx with the service's own rendered configuration, before a socket where nobody ever answers."""
    command = command_of(service.child("nginx"))
    original = Path(re.findall(r"-c (\S+)", command)[0])
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nginx-") as name, socket.socket(socket.AF_UNIX) as backend:
        directory = Path(name)  # not pytest's, whose names are longer than an address of a socket may be
        text = original.read_text().replace(str(original.parent), name)
        text = re.sub(r"listen \d+", f"listen {port}", text).replace("70s", "1s")
        (directory / "nginx.conf").write_text(text)
        if backend_listens:
            backend.bind(f"{name}/gunicorn.sock")
            backend.listen()
        process = subprocess.Popen(
            ["nginx", "-c", str(directory / "nginx.conf"), "-p", name], stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: accepts_connections(port), PATIENCE_S)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                yield client
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def nginx_with_mute_backend(service: Serving) -> Iterator[httpx.Client]:
    with nginx_alone(service, backend_listens=True) as client:
        yield client


@pytest.fixture(scope="module")
def nginx_without_backend(service: Serving) -> Iterator[httpx.Client]:
    with nginx_alone(service, backend_listens=False) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/invocations/", "/requests", "/requests/", "/openapi.json", "/docs"]
)
def test_no_such_route_is_404(service: Serving, path: str) -> None:
    problem(service.http.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/invocations"), ("DELETE", "/ping"), ("POST", "/info"), ("TRACE", "/ping"), ("GET", "/requests/a")],
)
def test_a_method_that_the_route_does_not_take_is_405(service: Serving, method: str, path: str) -> None:
    problem(service.http.request(method, path), 405, "method_not_allowed")


def test_an_address_too_long_to_read_is_400(service: Serving) -> None:
    problem(service.http.get("/" + "a" * 60_000), 400, "undecodable_request")


def test_headers_too_long_to_read_are_400(service: Serving) -> None:
    problem(service.http.get("/ping", headers={"X-Long": "a" * 60_000}), 400, "undecodable_request")


def test_a_backend_that_is_not_there_is_502(nginx_without_backend: httpx.Client) -> None:
    answer = nginx_without_backend.post("/invocations", json={"prompt": "a red star"})
    assert problem(answer, 502, "bad_gateway")["retryable"] is True


def test_a_backend_that_does_not_answer_is_504(nginx_with_mute_backend: httpx.Client) -> None:
    answer = nginx_with_mute_backend.post("/invocations", json={"prompt": "a red star"})
    assert problem(answer, 504, "deadline_exceeded")["retryable"] is False
    assert answer.headers["x-should-retry"] == "false"


def test_ping_says_starting_where_the_backend_is_not_there(nginx_without_backend: httpx.Client) -> None:
    answer = nginx_without_backend.get("/ping")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")


def test_ping_answers_before_the_platform_gives_up_on_it(nginx_with_mute_backend: httpx.Client) -> None:
    answer = nginx_with_mute_backend.get("/ping", timeout=2.0)  # what the platform waits
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
