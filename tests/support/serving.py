"""The real service under test: its process, its answers, its log, its metrics."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.running import ROOT, LocalService, ServiceEnded, started_service, wait_until

FAKE_STORE = f"file://{ROOT / 'tests' / 'roms'}"
PATIENCE_S = 120.0  # how long a test waits for what must happen
_ERROR_FIELDS = {"code", "message", "type", "param", "request_id", "retryable"}


@dataclass(frozen=True)
class Serving:
    """A started `serve`, a client of it, and what it has written."""

    local: LocalService
    http: httpx.Client
    directory: Path  # holds stdout and stderr
    threads: ThreadPoolExecutor  # for requests that the test does not wait for

    def until_ready(self) -> Self:
        """Raises AssertionError with what it wrote when the service ends instead."""
        try:
            wait_until(self.local.is_ready, PATIENCE_S)
        except (ServiceEnded, TimeoutError) as error:
            raise AssertionError(f"{error}\n{self.stdout()}\n{self.stderr()}") from error
        return self

    def invoke(self, **fields: Any) -> httpx.Response:
        return self.http.post("/invocations", json=fields)

    def begin(self, **fields: Any) -> Future[httpx.Response]:
        """The same without waiting; on return the service has accepted it."""
        depth = self.metric("cartridge_queue_depth")
        future = self.threads.submit(self.invoke, **fields)
        wait_until(lambda: future.done() or self.metric("cartridge_queue_depth") > depth, PATIENCE_S)
        assert not future.done(), f"the request was over before it could be seen: {future.result().text[:300]}"
        return future

    def call(self, **fields: Any) -> socket.socket:
        """A connection over which the request has gone out. Closing it hangs up."""
        body = json.dumps(fields).encode()
        head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection = socket.create_connection(("127.0.0.1", self.local.port), PATIENCE_S)
        connection.sendall(head.encode() + body)
        return connection

    def until_depth(self, depth: int) -> None:
        """Wait until so many requests are accepted and not yet answered."""
        wait_until(lambda: self.metric("cartridge_queue_depth") == depth, PATIENCE_S)

    def logged(self, request_id: str) -> dict[str, Any]:
        """The log line of a request, which may be written a moment after its answer."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.events("request") if line["request_id"] == request_id]

        wait_until(lambda: bool(found()), PATIENCE_S)
        (line,) = found()
        return line

    def metric(self, name: str, **labels: str) -> float:
        """One sample's value; 0 when there is none."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        samples = (sample for family in families for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name and sample.labels == labels)

    def stdout(self) -> str:
        return (self.directory / "stdout").read_text(encoding="utf-8")

    def stderr(self) -> str:
        return (self.directory / "stderr").read_text(encoding="utf-8")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event. Every line of stdout must be JSON."""
        lines: list[dict[str, Any]] = [json.loads(line) for line in self.stdout().splitlines()]
        return [line for line in lines if line["event"] == name]

    def child(self, name: str) -> int:
        """The process id of nginx or gunicorn."""
        return next(pid for pid in children_of(self.local.process.pid) if name in command_of(pid))


@contextmanager
def serving(directory: Path, **environment: str) -> Iterator[Serving]:
    """A service on the fake ROM, where `environment` says nothing else, that has just been started."""
    directory.mkdir(parents=True, exist_ok=True)
    environment = {"CARTRIDGE_ROM_SOURCES": FAKE_STORE, "CARTRIDGE_THREADS": "1", **environment}
    with (
        (directory / "stdout").open("wb") as stdout,
        (directory / "stderr").open("wb") as stderr,
        ThreadPoolExecutor(16) as threads,
        started_service(environment, stdout, stderr) as local,
        httpx.Client(base_url=local.url, timeout=PATIENCE_S) as http,
    ):
        yield Serving(local, http, directory, threads)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def path_without_nginx(directory: Path) -> str:
    """A PATH on which no program lies."""
    empty = directory / "bin"
    empty.mkdir()
    return os.fspath(empty)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error of an answer, once it is sure to have the one shape of all errors."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text[:300]
    content = answer.json()
    assert content.keys() == {"error"}
    error: dict[str, Any] = content["error"]
    assert error.keys() - {"fits"} == _ERROR_FIELDS
    assert error["code"] == code
    assert error["message"]
    assert "\n" not in error["message"]
    return error
