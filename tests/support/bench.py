"""An engine driven by hand: no thread, and a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from app.backends.base import Backend
from app.core import Budget
from app.engine.care import DeviceCare
from app.engine.engine import Engine
from app.engine.state import Listener, RequestState
from app.imaging import Source
from tests.support.clock import FakeClock
from tests.support.params import make_params

A_MINUTE = Budget(60.0)
ALL_DAY = Budget(86400.0)


@dataclass
class StepLog:
    """A StepObserver that writes down who was in every forward."""

    rom_ids: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def observe_step(self, rom_id: str, rows: int, seconds: float) -> None:
        self.rom_ids.append(rom_id)
        self.rows.append(rows)


class Bench:
    def __init__(self, max_batch_size: int = 8, care: DeviceCare | None = None, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.log = StepLog()
        self.engine = Engine(max_batch_size, self.log, care, self.clock)
        self.states: list[RequestState] = []

    def submit(
        self,
        backend: Backend,
        *,
        rom_id: str = "rom",
        budget: Budget = A_MINUTE,
        listener: Listener | None = None,
        source: Source | None = None,
        **asked: Any,
    ) -> RequestState:
        params = make_params(**asked)
        state = self.engine.submit(f"r{len(self.states)}", rom_id, params, backend, budget, listener, source)
        self.states.append(state)
        return state

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.engine.tick()

    def run(self) -> None:
        """Tick until every request has its answer."""
        for _ in range(2000):
            if all(state.future.done() for state in self.states):
                return
            self.tick()
        raise AssertionError("requests are left without an answer")


def learned(bench: Bench, backend: Backend, *, rom_id: str = "rom", **asked: Any) -> None:
    """Let the engine learn, from a request nobody waits for, what the backend takes; what it foresees is then near."""
    bench.submit(backend, rom_id=rom_id, budget=ALL_DAY, num_inference_steps=50, **asked)
    bench.run()


def alone(backend: Backend, **asked: Any) -> RequestState:
    """A finished request that never had company."""
    bench = Bench()
    state = bench.submit(backend, **asked)
    bench.run()
    return state


def latents_of(state: RequestState) -> torch.Tensor:
    """[B, C, h, w]"""
    return torch.stack([row.latents for row in state.rows])


def image_of(state: RequestState) -> bytes:
    """All its images, one after the other; raises what it was answered with instead."""
    return b"".join(image.tobytes() for image in state.future.result(0).images)
