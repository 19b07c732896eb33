"""Schedulers that take several forwards for an inference step: whoever counts, counts forwards."""

from __future__ import annotations

from typing import Any

import pytest

from app.backends.fake import FakeBackend
from app.core import Budget
from app.errors import DeadlineExceeded, Overloaded
from tests.engine.test_tasks import REDRAW
from tests.support.backends import TimedBackend, WatchedBackend
from tests.support.bench import Bench, alone, learned
from tests.support.clock import FakeClock
from tests.support.demands import make_demand, make_lane
from tests.support.followers import Follower

HEUN: dict[str, Any] = {"scheduler": "heun"}


@pytest.mark.parametrize(("asked", "forwards"), [({}, 19), (REDRAW, 9), (REDRAW | {"strength": 0.1}, 1)])
def test_every_forward_is_a_step_that_is_told(asked: dict[str, Any], forwards: int) -> None:
    bench, backend, follower = Bench(), WatchedBackend(FakeBackend()), Follower()
    state = bench.submit(backend, listener=follower, num_inference_steps=10, **HEUN, **asked)
    bench.run()
    assert len(backend.forwards) == state.future.result(0).completed_steps == forwards
    assert follower.steps == [(done, forwards) for done in range(1, forwards + 1)]


def test_both_stages_of_an_inference_step_are_guided_alike() -> None:
    backend = WatchedBackend(FakeBackend())
    alone(backend, num_inference_steps=5, guidance_scale=4.0, guidance_interval=(0.2, 0.6), **HEUN)
    assert [len(forward) for forward in backend.forwards] == [1, 1, 2, 2, 2, 2, 1, 1, 1]


def test_refusal_names_inference_steps_whose_forwards_fit() -> None:
    clock = FakeClock()
    bench, backend = Bench(clock=clock), TimedBackend(clock, lambda rows: 1.0)
    learned(bench, backend)
    asked: dict[str, Any] = {"budget": Budget(30.0, "fail"), **HEUN}
    with pytest.raises(Overloaded) as raised:
        bench.submit(backend, num_inference_steps=20, **asked)
    assert raised.value.fits is not None
    fitting = raised.value.fits.num_inference_steps
    assert 10 < fitting < 16
    state = bench.submit(backend, num_inference_steps=fitting, **asked)
    bench.run()
    assert state.future.result(0).completed_steps == 2 * fitting - 1


def test_answer_at_the_deadline_counts_forwards() -> None:
    clock = FakeClock()
    bench, backend = Bench(clock=clock), TimedBackend(clock, lambda rows: 1.0)
    state = bench.submit(backend, budget=Budget(0.5, "fail"), num_inference_steps=20, **HEUN)
    bench.run()
    with pytest.raises(DeadlineExceeded, match="after 1 of 39 steps"):
        state.future.result(0)


@pytest.mark.parametrize(
    ("counting", "steps", "inference_steps"),
    [
        ({}, 7, 7),
        ({"strength": 0.5}, 7, 14),
        ({"stages": 2, "extra_steps": -1}, 7, 4),  # heun: 2 * 4 - 1
        ({"stages": 2, "extra_steps": -1}, 8, 4),
        ({"stages": 2, "extra_steps": -1, "strength": 0.5}, 7, 8),
        ({"extra_steps": 1}, 7, 6),
        ({"extra_steps": 9}, 7, 0),
    ],
)
def test_steps_that_fit_are_told_as_inference_steps(counting: dict[str, Any], steps: int, inference_steps: int) -> None:
    demand = make_demand(make_lane({1: 1.0}), steps=20, **counting)
    assert demand.inference_steps(steps) == inference_steps
