"""The servers that are measured, each as a process of its own on this machine: our service and its two peers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from deploy.running import (
    ROOT,
    START_TIMEOUT_S,
    LocalService,
    ServiceEnded,
    free_port,
    started_service,
    wait_until,
)

OURS, SERIAL, LITSERVE = "ours", "serial", "litserve"
ARRIVED_AT = "x-arrived-at"  # a peer's header: when the request came in, on the machine's monotonic clock
LOGS = ROOT / "build" / "bench-engine"
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ImageRequest:
    """One image; its fields are the JSON that every server reads."""

    prompt: str
    seed: int
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int


@dataclass(frozen=True)
class Server:
    name: str
    local: LocalService
    first_step_s: Callable[[httpx.Response], float]  # from the request's arrival
    pauses: bool  # whether it is stopped while another is measured: LitServe looks for work all the time

    @contextmanager
    def awake(self) -> Iterator[None]:
        """It runs inside, and outside it takes no CPU time."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        if self.pauses:
            os.killpg(self.local.process.pid, number)


@contextmanager
def started_servers(rom: Path) -> Iterator[list[Server]]:
    """All three, ready, ours first; what they write is in LOGS. Raises SystemExit when one does not start."""
    LOGS.mkdir(parents=True, exist_ok=True)
    environment = {"CARTRIDGE_ROM_SOURCES": f"file://{rom.resolve()}", "CARTRIDGE_DEVICE": "cpu"}
    with ExitStack() as stack:
        logs = {name: stack.enter_context(log_of(name).open("wb")) for name in (OURS, SERIAL, LITSERVE)}
        ours = stack.enter_context(started_service(environment, logs[OURS], logs[OURS]))
        serial, litserve = (stack.enter_context(_started_peer(name, rom, logs[name])) for name in (SERIAL, LITSERVE))
        servers = [
            Server(OURS, ours, _first_step_of_ours, pauses=False),
            Server(SERIAL, serial, _first_step_of_peer, pauses=False),
            Server(LITSERVE, litserve, _first_step_of_peer, pauses=True),
        ]
        for server in servers:
            with server.awake():
                _wait_until_ready(server)
        yield servers


def log_of(name: str) -> Path:
    return LOGS / f"{name}.log"


def _wait_until_ready(server: Server) -> None:
    """Raises SystemExit."""
    try:
        wait_until(server.local.is_ready, START_TIMEOUT_S)
    except (ServiceEnded, TimeoutError) as error:
        raise SystemExit(f"{server.name}: {error}; see {log_of(server.name)}") from error


@contextmanager
def _started_peer(name: str, rom: Path, log: IO[bytes]) -> Iterator[LocalService]:
    """A process group of its own, which is killed on leaving if it does not end by itself."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers", name, str(rom.resolve()), str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        yield LocalService(process, port)
    finally:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGCONT)
            process.send_signal(signal.SIGINT)
            process.wait(_STOP_TIMEOUT_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _first_step_of_ours(response: httpx.Response) -> float:
    timings = response.json()["timings"]
    return float(timings["queue_s"] + timings["load_s"] + timings["encode_s"])


def _first_step_of_peer(response: httpx.Response) -> float:
    return float(response.json()["first_step_at"]) - float(response.headers[ARRIVED_AT])
