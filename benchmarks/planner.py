"""`make bench-planner`: what the planner keeps of its promises as load grows, against first come, first served.

A simulation: the real engine and planner on a clock that a backend moves by what its work would take. Requests arrive
at random (Poisson), with mixed step counts, half of them guided. Goodput is images within their budget, a second.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch

from app.backends.base import Conditioning
from app.backends.fake import FakeBackend
from app.core import Budget, Decoder, OnDeadline, ResolvedParams
from app.engine.engine import Engine
from app.engine.state import EngineResult, RequestState
from app.errors import CartridgeError, Overloaded
from app.metrics import Metrics
from benchmarks.load import percentile

_FORWARD_S, _ROW_S = 0.010, 0.010  # a forward of n rows takes _FORWARD_S + n * _ROW_S
_ENCODE_S, _DECODE_S = 0.005, 0.030
_MAX_ROWS = 16
_STEPS = (10, 20, 30, 50)
_BUDGET_S = 20.0
_LOADS = (0.5, 0.9, 1.2, 2.0)  # of capacity
_FIRST_COME = "first come"


@dataclass(frozen=True)
class Ask:
    at: float  # seconds
    steps: int
    rows: int  # of a forward: two with guidance


@dataclass(frozen=True)
class Answer:
    seconds: float  # from arrival
    is_whole: bool


@dataclass(frozen=True)
class Result:
    """What became of a run's requests."""

    asked: int
    refused: int
    failed: int  # accepted, and answered with an error inside the budget
    answers: Sequence[Answer]

    @property
    def late(self) -> int:
        return sum(answer.seconds > _BUDGET_S for answer in self.answers)

    @property
    def good(self) -> int:
        return len(self.answers) - self.late

    @property
    def whole(self) -> int:
        return sum(answer.is_whole and answer.seconds <= _BUDGET_S for answer in self.answers)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SimulatedBackend(FakeBackend):
    """Its work takes no time of ours and moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.info = replace(self.info, cell_step_prior_s=(_FORWARD_S + _ROW_S) / 64)
        self._clock = clock

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        self._clock.now += _ENCODE_S
        return super().encode_prompt(prompt, chunks)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        self._clock.now += _FORWARD_S + _ROW_S * len(latents)
        return super().predict(latents, timestep, prompts)

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        self._clock.now += _DECODE_S * len(latents)
        return super().decode(latents, decoder=decoder, upcast=upcast, tiled=tiled)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument("--seconds", type=float, default=200.0, help="simulated time of arrivals")
    arguments = parser.parse_args()
    print(f"capacity {capacity():.2f} images/s, budget {_BUDGET_S:g} s, {arguments.seconds:g} s of arrivals")
    print("policy      load  asked  refused  failed  late  whole  partial  good/s  p50 s  p95 s  good/s over 0.9's")
    for policy in (*get_args(OnDeadline), _FIRST_COME):
        results = {load: run(policy, arrivals(load, arguments.seconds)) for load in _LOADS}
        for load, result in results.items():
            print_line(policy, load, result, arguments.seconds, result.good / results[0.9].good)


def capacity() -> float:
    """Images a second with every forward full."""
    rows = 1.5  # of a forward, mean
    row_s = (_FORWARD_S + _MAX_ROWS * _ROW_S) / _MAX_ROWS
    return 1 / (statistics.mean(_STEPS) * rows * row_s + _ENCODE_S * rows + _DECODE_S)


def arrivals(load: float, seconds: float) -> list[Ask]:
    rng, at, asks = random.Random(7), 0.0, []
    while (at := at + rng.expovariate(load * capacity())) < seconds:
        asks.append(Ask(at, rng.choice(_STEPS), rng.choice((1, 2))))
    return asks


def run(policy: str, asks: list[Ask]) -> Result:
    return first_come(asks) if policy == _FIRST_COME else planned(policy, asks)  # type: ignore[arg-type]


def planned(on_deadline: OnDeadline, asks: list[Ask]) -> Result:
    """The engine's own way. A `degrade` request that is refused asks again for the steps that would fit."""
    clock = Clock()
    engine, backend = Engine(_MAX_ROWS, Metrics(), clock=clock), SimulatedBackend(clock)
    coming, running, refused = deque(asks), list[RequestState](), 0
    ended: list[tuple[Ask, float, RequestState]] = []
    asked: dict[RequestState, Ask] = {}
    while coming or running:
        if not running:
            clock.now = max(clock.now, coming[0].at)
        while coming and coming[0].at <= clock.now:
            ask = coming.popleft()
            try:
                state = submit(engine, backend, ask, on_deadline, clock)
            except Overloaded:
                refused += 1
                continue
            asked[state] = ask
            running.append(state)
        engine.tick()
        ended += [(asked[state], clock.now, state) for state in running if state.future.done()]
        running = [state for state in running if not state.future.done()]
    answers = [
        Answer(at - ask.at, made.finish_reason == "completed")
        for ask, at, state in ended
        if (made := result_of(state)) is not None
    ]
    return Result(len(asks), refused, len(ended) - len(answers), answers)


def submit(engine: Engine, backend: SimulatedBackend, ask: Ask, on_deadline: OnDeadline, clock: Clock) -> RequestState:
    budget = Budget(_BUDGET_S - (clock.now - ask.at), on_deadline)
    try:
        return engine.submit("", "rom", params_of(ask, ask.steps), backend, budget)
    except Overloaded as refusal:
        if on_deadline != "degrade" or refusal.fits is None or refusal.fits.num_inference_steps < ask.steps / 2:
            raise
        return engine.submit("", "rom", params_of(ask, refusal.fits.num_inference_steps), backend, budget)


def params_of(ask: Ask, steps: int) -> ResolvedParams:
    return ResolvedParams("a lighthouse", "", steps, float(ask.rows), "ddim", (7,), 64, 64, "default")


def result_of(state: RequestState) -> EngineResult | None:
    try:
        return state.future.result()
    except CartridgeError:
        return None


def first_come(asks: list[Ask]) -> Result:
    """The same device and the same batching, in the order of arrival; everything is accepted and finished."""
    now, coming, answers = 0.0, deque(asks), []
    running: list[tuple[Ask, int]] = []  # and the steps left
    while coming or running:
        if not running:
            now = max(now, coming[0].at)
        rows = sum(ask.rows for ask, _ in running)
        while coming and coming[0].at <= now and rows + coming[0].rows <= _MAX_ROWS:
            ask = coming.popleft()
            rows += ask.rows
            now += _ENCODE_S * ask.rows
            running.append((ask, ask.steps))
        now += _FORWARD_S + _ROW_S * rows
        running = [(ask, left - 1) for ask, left in running]
        for ask in [ask for ask, left in running if not left]:
            now += _DECODE_S
            answers.append(Answer(now - ask.at, True))
        running = [(ask, left) for ask, left in running if left]
    return Result(len(asks), 0, 0, answers)


def print_line(policy: str, load: float, result: Result, seconds: float, ratio: float) -> None:
    times = [answer.seconds for answer in result.answers]
    print(
        f"{policy:<10} {load:5.1f} {result.asked:6} {result.refused:8} {result.failed:7} {result.late:5}"
        f" {result.whole:6} {result.good - result.whole:8} {result.good / seconds:7.2f}"
        f" {percentile(times, 50):6.2f} {percentile(times, 95):6.2f} {ratio:10.2f}"
    )


if __name__ == "__main__":
    main()
