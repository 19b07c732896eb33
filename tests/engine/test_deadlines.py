"""What a request gets when its time is up, and when it leaves for it."""

from __future__ import annotations

import pytest

from app.backends.fake import FakeBackend
from app.core import Budget, OnDeadline
from app.engine.state import RequestState
from app.errors import DeadlineExceeded
from tests.support.backends import TimedBackend
from tests.support.bench import Bench, alone, image_of, learned


def late_after(steps: int, on_deadline: OnDeadline) -> tuple[Bench, RequestState]:
    """A request of ten steps whose time passes after some of them, and one beside it that has time."""
    bench, backend = Bench(), FakeBackend()
    late = bench.submit(backend, budget=Budget(5, on_deadline), num_inference_steps=10)
    bench.submit(backend, num_inference_steps=10)
    bench.tick(steps)
    bench.clock.advance(6)
    bench.run()
    return bench, late


@pytest.mark.parametrize("on_deadline", ["partial", "degrade"])
def test_the_estimate_so_far_is_the_answer(on_deadline: OnDeadline) -> None:
    _, late = late_after(3, on_deadline)
    result = late.future.result(0)
    assert (result.finish_reason, result.completed_steps) == ("deadline", 3)
    assert image_of(late) != image_of(alone(FakeBackend(), num_inference_steps=10))


def test_whole_or_nothing_is_nothing() -> None:
    _, late = late_after(3, "fail")
    with pytest.raises(DeadlineExceeded, match="after 3 of 10 steps") as raised:
        late.future.result(0)
    assert raised.value.param == "timeout_s"


@pytest.mark.parametrize("on_deadline", ["partial", "degrade", "fail"])
def test_without_a_step_there_is_nothing_to_show(on_deadline: OnDeadline) -> None:
    _, late = late_after(0, on_deadline)
    assert isinstance(late.future.exception(0), DeadlineExceeded)


def test_one_that_leaves_does_not_touch_those_beside_it() -> None:
    bench, _ = late_after(3, "partial")
    assert image_of(bench.states[1]) == image_of(alone(FakeBackend(), num_inference_steps=10))


def test_it_leaves_in_time_for_its_picture_to_be_decoded() -> None:
    """Steps of a second, and three to decode: of twelve seconds, nine are for steps."""
    bench = Bench()
    backend = TimedBackend(bench.clock, lambda rows: 1.0, decode_s=3.0)
    learned(bench, backend)
    state = bench.submit(backend, budget=Budget(12), num_inference_steps=13)
    bench.run()
    assert state.future.result(0).finish_reason == "deadline"
    assert 7 <= state.future.result(0).completed_steps <= 9
    assert bench.clock.now <= state.deadline


def test_the_latents_of_a_whole_picture_are_decoded_and_not_their_estimate() -> None:
    state = alone(FakeBackend(), num_inference_steps=4)
    result = state.future.result(0)
    assert (result.finish_reason, result.completed_steps) == ("completed", 4)
