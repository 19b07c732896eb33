"""What was foreseen, against what the engine then does on a backend that takes time."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from app.core import Budget, OnDeadline
from app.engine.state import RequestState
from app.errors import Overloaded
from tests.support.backends import TimedBackend
from tests.support.bench import ALL_DAY, Bench, learned
from tests.support.clock import FakeClock

ROUNDING_S = 1e-6
WORLDS = range(150)


@dataclass(frozen=True)
class Speed:
    """A forward of n rows takes `forward_s` + n * `row_s`; the others are in forwards of one row, as priors are."""

    forward_s: float
    row_s: float
    encode_steps: float
    decode_steps: float

    @classmethod
    def draw(cls, rng: random.Random) -> Speed:
        forward_s, row_s = rng.choice([(1.0, 0.0), (0.5, 0.5), (0.0, 1.0), (0.8, 0.2), (0.2, 0.05)])
        return cls(forward_s, row_s, rng.choice([0.0, 0.5, 1.0]), rng.choice([0.0, 1.0, 3.0]))

    def backend(self, clock: FakeClock) -> TimedBackend:
        step_s = self.forward_s + self.row_s
        return TimedBackend(
            clock,
            lambda rows: self.forward_s + self.row_s * rows,
            encode_s=self.encode_steps * step_s,
            decode_s=self.decode_steps * step_s,
        )


@dataclass(frozen=True)
class Ask:
    after_s: float  # after the one before it
    rom: int
    steps: int
    guidance_scale: float
    images: int
    timeout_s: float
    on_deadline: OnDeadline

    @classmethod
    def draw(cls, rng: random.Random) -> Ask:
        return cls(
            after_s=rng.choice([0.0, 0.0, 0.3, 1.0, 2.5, 5.0]),
            rom=rng.randrange(3),
            steps=rng.randint(1, 12),
            guidance_scale=rng.choice([1.0, 5.0]),
            images=rng.choice([1, 1, 1, 2, 3]),
            timeout_s=rng.choice([5.0, 10.0, 15.0, 20.0, 30.0, 50.0]) + rng.random(),
            on_deadline=rng.choice(["partial", "degrade", "fail"]),
        )


class World:
    """Requests that arrive at their own times, also in the middle of a forward."""

    def __init__(self, rng: random.Random, is_learned: bool) -> None:
        self.clock = FakeClock()
        self.bench = Bench(rng.choice([1, 2, 3, 4, 8]), clock=self.clock)
        self.backends = [Speed.draw(rng).backend(self.clock) for _ in range(rng.randint(1, 3))]
        self.answered_at: dict[RequestState, float] = {}
        for rom in range(len(self.backends) if is_learned else 0):
            self._learn(rom)

    def live(self, asks: Sequence[Ask]) -> list[RequestState]:
        """Let it all happen; those that were accepted."""
        at, before = self.clock.now, len(self.bench.states)
        for ask in asks:
            at += ask.after_s
            self.clock.call_at(at, partial(self._submit, ask))
        self.clock.advance(0)
        while not self._is_idle() or self.clock.next_alarm() < math.inf:
            if self._is_idle():
                self.clock.advance(self.clock.next_alarm() - self.clock.now)
            self.bench.tick()
        return self.bench.states[before:]

    def _is_idle(self) -> bool:
        return all(state.future.done() for state in self.bench.states)

    def _learn(self, rom: int) -> None:
        """So much that what is foreseen hardly exceeds what is."""
        for images, guidance_scale, times in ((1, 1.0, 12), (1, 5.0, 12), (2, 5.0, 12), (3, 1.0, 12)):
            for _ in range(times):
                self._submit(Ask(0, rom, 2, guidance_scale, images, ALL_DAY.timeout_s, "fail"))
                self.bench.run()

    def _submit(self, ask: Ask) -> None:
        rom = ask.rom % len(self.backends)
        try:
            state = self.bench.submit(
                self.backends[rom],
                rom_id=f"rom {rom}",
                budget=Budget(ask.timeout_s, ask.on_deadline),
                num_inference_steps=ask.steps,
                guidance_scale=ask.guidance_scale,
                seeds=tuple(range(ask.images)),
            )
        except Overloaded:
            return
        state.future.add_done_callback(lambda _: self.answered_at.setdefault(state, self.clock.now))


def is_probe(state: RequestState) -> bool:
    """Accepted without a promise, for the engine to learn."""
    return not state.plan.promised_steps


@pytest.mark.parametrize("seed", WORLDS)
def test_nobody_who_was_accepted_is_answered_late(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng, is_learned=seed % 4 > 0)
    for state in world.live([Ask.draw(rng) for _ in range(8)]):
        if not is_probe(state):
            assert world.answered_at[state] <= state.deadline + ROUNDING_S


@pytest.mark.parametrize("seed", WORLDS)
def test_request_alone_gets_what_it_was_promised_when_it_was_foreseen(seed: int) -> None:
    rng = random.Random(seed)
    world, ask = World(rng, is_learned=seed % 2 > 0), Ask.draw(rng)
    for state in world.live([ask]):
        assert state.completed_steps >= state.plan.promised_steps
        if state.plan.promised_steps == ask.steps:
            assert state.future.result(0).finish_reason == "completed"
            assert world.answered_at[state] <= state.plan.finish + ROUNDING_S


@pytest.mark.parametrize("images", [1, 2, 5])
def test_foresight_is_near_once_the_engine_has_learned(images: int) -> None:
    clock = FakeClock()
    bench, backend = Bench(max_batch_size=4, clock=clock), TimedBackend(clock, lambda rows: 0.5 + 0.5 * rows)
    seeds = tuple(range(images))
    learned(bench, backend, seeds=seeds)
    state = bench.submit(backend, budget=ALL_DAY, num_inference_steps=40, seeds=seeds)
    begun_at = clock.now
    bench.run()
    assert state.plan.finish - begun_at == pytest.approx(clock.now - begun_at, rel=0.05)


def test_one_that_must_be_whole_is_whole_whoever_comes_after_it() -> None:
    clock = FakeClock()
    bench, backend = Bench(max_batch_size=2, clock=clock), TimedBackend(clock, lambda rows: float(rows))
    learned(bench, backend)
    whole = bench.submit(backend, budget=Budget(60, "fail"), num_inference_steps=50)
    refused = 0
    while not whole.future.done():
        try:
            bench.submit(backend, budget=Budget(20, "partial"), num_inference_steps=5)
        except Overloaded:
            refused += 1
        bench.tick()
    assert whole.future.result(0).completed_steps == 50
    assert 0 < refused < len(bench.states) + refused - 2
