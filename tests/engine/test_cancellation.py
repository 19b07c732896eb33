"""A request that nobody wants any more."""

from __future__ import annotations

import pytest

from app.backends.fake import FakeBackend
from app.errors import Cancelled
from tests.support.backends import WatchedBackend
from tests.support.bench import Bench, alone, image_of


def test_running_request_is_in_no_forward_after_it_was_cancelled() -> None:
    bench, backend = Bench(), WatchedBackend(FakeBackend())
    state = bench.submit(backend, num_inference_steps=10)
    bench.tick(3)
    bench.engine.cancel(state)
    bench.tick(3)
    assert len(backend.forwards) == 3
    with pytest.raises(Cancelled, match="after 3 of 10 steps"):
        state.future.result(0)


def test_waiting_request_is_not_even_encoded() -> None:
    bench, backend = Bench(), FakeBackend()
    state = bench.submit(backend)
    bench.engine.cancel(state)
    bench.tick()
    assert isinstance(state.future.exception(0), Cancelled)
    assert not state.rows
    assert bench.log.rows == []


def test_others_of_the_batch_are_not_touched() -> None:
    bench, backend = Bench(), FakeBackend()
    states = [bench.submit(backend, seeds=(seed,), guidance_scale=3.0) for seed in range(3)]
    bench.tick(2)
    bench.engine.cancel(states[1])
    bench.run()
    for seed in (0, 2):
        assert image_of(states[seed]) == image_of(alone(backend, seeds=(seed,), guidance_scale=3.0))


def test_its_place_is_free_at_the_next_step() -> None:
    bench, backend = Bench(max_batch_size=1), FakeBackend()
    first, second = (bench.submit(backend, num_inference_steps=4) for _ in range(2))
    bench.tick()
    bench.engine.cancel(first)
    bench.tick(4)
    assert second.future.done()


def test_cancelling_twice_or_after_the_end_changes_nothing() -> None:
    bench, backend = Bench(), FakeBackend()
    finished, cancelled = bench.submit(backend), bench.submit(backend, num_inference_steps=50)
    bench.tick(5)
    for state in (finished, cancelled, cancelled):
        bench.engine.cancel(state)
    bench.run()
    bench.engine.cancel(cancelled)
    bench.tick()
    assert image_of(finished) == image_of(alone(backend))
    assert isinstance(cancelled.future.exception(0), Cancelled)


def test_nothing_of_it_is_left_to_plan_for() -> None:
    bench, backend = Bench(), FakeBackend()
    state = bench.submit(backend)
    bench.tick()
    bench.engine.cancel(state)
    bench.tick()
    bench.clock.advance(1000)
    assert bench.engine.stalled_s() == 0
    assert bench.submit(backend).plan.position == 0
