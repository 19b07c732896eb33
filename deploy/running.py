"""The real service on this machine: `./serve` on a free port, for the demo, the benchmarks and the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

ROOT = Path(__file__).resolve().parent.parent
STOP_TIMEOUT_S = 35.0  # the service stops itself within 30
START_TIMEOUT_S = 120.0
_POLL_S = 0.02


class ServiceEnded(Exception):
    """`serve` ended although it should run, or runs and will never be ready."""


@dataclass(frozen=True)
class LocalService:
    """A `serve` that was started; it may not be ready, or have ended."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        """Raises ServiceEnded."""
        if self.process.poll() is not None:
            raise ServiceEnded(f"the service ended with status {self.process.returncode}")
        try:
            answer = httpx.get(f"{self.url}/ping", timeout=5)
        except httpx.TransportError:
            return False
        if "setup_failed" in answer.text:
            raise ServiceEnded(f"the service will not be ready: {answer.text}")
        return answer.status_code == 200

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def running_service() -> Iterator[str]:
    """A service with the settings of this environment, ready; its address."""
    with started_service({}) as service:
        try:
            wait_until(service.is_ready, START_TIMEOUT_S)
        except (ServiceEnded, TimeoutError) as error:
            raise SystemExit(str(error)) from error
        yield service.url


@contextmanager
def started_service(
    environment: Mapping[str, str], stdout: IO[bytes] | None = None, stderr: IO[bytes] | None = None
) -> Iterator[LocalService]:
    """A service that starts; `environment` is added to this one's. Stopped on leaving, if it still runs."""
    port = int(environment.get("SAGEMAKER_BIND_TO_PORT") or free_port())
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "serve")],
        env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port), **environment},
        stdout=stdout,
        stderr=stderr,
    )
    service = LocalService(process, port)
    try:
        yield service
    finally:
        if process.poll() is None:
            service.stop()


def wait_until(holds: Callable[[], bool], timeout_s: float) -> None:
    """Look until `holds()`. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{getattr(holds, '__qualname__', holds)} did not hold within {timeout_s:.0f} s")
        time.sleep(_POLL_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
