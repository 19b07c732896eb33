"""A job on a ROM that has too little time for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.core import Budget, GenerationParams, GenerationRequest, OnDeadline, RouteDecision
from app.engine.engine import Engine
from app.errors import Cancelled, InvalidRequest, Overloaded
from app.estimates import Estimate
from app.invoker.jobs import Job
from app.invoker.runner import Made, Runner
from app.invoker.supply import Supply
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from tests.support.bench import StepLog
from tests.support.loader import PATIENCE_S, footprint_of, library_of
from tests.support.params import make_params
from tests.support.roms import make_rom

STEPS = 20
CELLS = 64  # latent cells of the fake backend's 64x64 pictures
STEP_PRIOR_S = 10.0
EVERYTHING_S, MOST_S, LITTLE_S = 100 * STEP_PRIOR_S, 25 * STEP_PRIOR_S, 12 * STEP_PRIOR_S  # for 20 steps, with a margin


class Stand:
    """A runner over `slow`, which is said to take 10 s a step, and `quick`. The engine runs when the test says so.

    Somebody else is waiting already, so that nothing is tried out: the engine goes by what it is told.
    """

    def __init__(self, **preset: Any) -> None:
        slow = FakeBackend()
        slow.info = replace(slow.info, cell_step_prior_s=STEP_PRIOR_S / CELLS)
        self.backends: dict[str, Backend] = {"slow": slow, "quick": FakeBackend()}
        presets = {"default": {"num_inference_steps": STEPS, "guidance_scale": 1.0, **preset}}
        library = library_of(*(make_rom(rom_id, 10, presets=presets) for rom_id in self.backends))
        cache = ModelCache(self.load, footprint_of, 1000)
        self.engine = Engine(8, StepLog())
        self.engine.submit("first", "quick", make_params(), self.backends["quick"], Budget(10 * EVERYTHING_S))
        started: Future[Engine] = Future()
        started.set_result(self.engine)
        self._runner = Runner(Supply(library, cache), started, Estimate(0.0))

    def load(self, rom: Rom) -> Backend:
        return self.backends[rom.id]

    def run(self, job: Job, timeout_s: float) -> Made:
        decision = RouteDecision("slow", {"slow": 1.0}, "named by the request", True)
        return self._runner.run(job, decision, time.monotonic() + timeout_s)

    def refusal(self, timeout_s: float, on_deadline: OnDeadline, **asked: Any) -> Overloaded:
        with pytest.raises(Overloaded) as raised:
            self.run(make_job(on_deadline, **asked), timeout_s)
        return raised.value

    def made(self, timeout_s: float, on_deadline: OnDeadline = "degrade", **asked: Any) -> Made:
        """What is made of a request that is accepted."""
        job, accepted = make_job(on_deadline, **asked), threading.Event()
        job.follow(lambda _: accepted.set())
        with ThreadPoolExecutor(1) as callers:
            made = callers.submit(self.run, job, timeout_s)
            try:
                assert accepted.wait(PATIENCE_S)
                self.engine.start()
                return made.result(PATIENCE_S)
            finally:
                self.engine.close()


def make_job(on_deadline: OnDeadline = "degrade", **asked: Any) -> Job:
    params = replace(GenerationParams("a lighthouse", seed=7), **asked)
    return Job(GenerationRequest("r1", params, "slow", on_deadline=on_deadline))


@pytest.fixture
def stand() -> Iterator[Stand]:
    yield Stand()


def changes(made: Made) -> list[tuple[str, str]]:
    return [(notice.code, notice.param) for notice in made.notices]


def test_enough_time_changes_nothing(stand: Stand) -> None:
    made = stand.made(EVERYTHING_S)
    assert (made.params.num_inference_steps, made.params.width, changes(made)) == (STEPS, 64, [])
    assert (made.result.completed_steps, made.images[0].shape) == (STEPS, (64, 64, 3))


@pytest.mark.parametrize("on_deadline", ["partial", "fail"])
def test_a_request_that_may_not_be_degraded_is_told_what_would_fit(stand: Stand, on_deadline: OnDeadline) -> None:
    refusal = stand.refusal(LITTLE_S, on_deadline)
    assert refusal.fits is not None
    assert 1 <= refusal.fits.num_inference_steps < STEPS


def test_a_partial_one_is_accepted_with_half_of_its_steps_to_be_expected(stand: Stand) -> None:
    assert stand.made(MOST_S, "partial").params.num_inference_steps == STEPS
    assert Stand().refusal(MOST_S, "fail").fits


def test_fewer_steps_come_first(stand: Stand) -> None:
    made = stand.made(MOST_S)
    assert STEPS // 2 <= made.params.num_inference_steps < STEPS
    assert made.result.completed_steps == made.params.num_inference_steps
    assert changes(made) == [("degraded", "num_inference_steps")]


def test_half_the_size_comes_next_and_is_enlarged_to_what_was_asked(stand: Stand) -> None:
    made = stand.made(LITTLE_S)
    assert (made.params.num_inference_steps, made.params.width, made.params.height) == (STEPS, 32, 32)
    assert made.result.images[0].shape == (32, 32, 3)
    assert made.images[0].shape == (64, 64, 3)
    assert changes(made) == [("degraded", "width")]


def test_the_twin_comes_last() -> None:
    made = Stand(twin="quick").made(4 * STEP_PRIOR_S)
    assert made.decision.rom_id == "quick"
    assert "twin of 'slow'" in made.decision.reason
    assert (made.params.num_inference_steps, made.params.width) == (STEPS, 64)
    assert changes(made) == [("degraded", "model")]


@pytest.mark.parametrize(
    "preset",
    [{}, {"twin": "missing"}, {"twin": "quick", "degrade": ("steps", "size")}, {"twin": "quick", "degrade": ()}],
    ids=["no twin", "a twin that is not there", "no twin allowed", "nothing allowed"],
)
def test_where_nothing_helps_the_refusal_is_that_of_the_request_as_asked(preset: dict[str, Any]) -> None:
    refusal, as_asked = (Stand(**preset).refusal(4 * STEP_PRIOR_S, how) for how in ("degrade", "fail"))
    assert refusal.fits == as_asked.fits


def test_a_request_that_is_wrong_has_no_twin() -> None:
    with pytest.raises(InvalidRequest):
        Stand(twin="quick").run(make_job(width=63), EVERYTHING_S)


def test_a_job_that_was_cancelled_is_not_begun(stand: Stand) -> None:
    job = make_job()
    job.cancel()
    with pytest.raises(Cancelled, match="cancelled before"):
        stand.run(job, EVERYTHING_S)
