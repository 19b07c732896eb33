"""Who is let in, and what those are told who are not."""

from __future__ import annotations

from typing import Any

import pytest

from app.core import Budget
from app.errors import Overloaded
from tests.support.backends import TimedBackend
from tests.support.bench import ALL_DAY, Bench, learned

STEP_S = 1.0


def busy_bench(steps: int) -> tuple[Bench, TimedBackend]:
    """An engine of one row a forward, which knows what that takes and has `steps` ahead of it."""
    bench = Bench(max_batch_size=1)
    backend = TimedBackend(bench.clock, lambda rows: STEP_S)
    learned(bench, backend)
    if steps:
        bench.submit(backend, budget=Budget(2 * steps * STEP_S + 1), num_inference_steps=steps)
    return bench, backend


def refusal(bench: Bench, backend: TimedBackend, **asked: Any) -> Overloaded:
    with pytest.raises(Overloaded) as raised:
        bench.submit(backend, **asked)
    return raised.value


def test_what_fits_whole_is_let_in_with_its_finish() -> None:
    bench, backend = busy_bench(0)
    state = bench.submit(backend, budget=Budget(20, "fail"), num_inference_steps=10)
    predicted = state.plan.finish
    bench.run()
    assert state.future.result(0).finish_reason == "completed"
    assert bench.clock.now <= predicted <= bench.clock.now + 5 * STEP_S


def test_whole_or_nothing_is_refused_where_a_part_is_let_in() -> None:
    bench, backend = busy_bench(0)
    refused = refusal(bench, backend, budget=Budget(8, "fail"), num_inference_steps=10)
    assert refused.param == "timeout_s"
    partial = bench.submit(backend, budget=Budget(8, "partial"), num_inference_steps=10)
    bench.run()
    assert partial.future.result(0).finish_reason == "deadline"
    assert partial.future.result(0).completed_steps >= 5


def test_part_that_is_below_its_share_is_refused() -> None:
    bench, backend = busy_bench(0)
    refused = refusal(bench, backend, budget=Budget(8, "partial", partial_share=0.9), num_inference_steps=10)
    assert refused.param == "timeout_s"


def test_what_is_said_to_fit_is_then_let_in() -> None:
    bench, backend = busy_bench(10)
    fits = refusal(bench, backend, budget=Budget(18, "fail"), num_inference_steps=20).fits
    assert fits is not None and 1 <= fits.num_inference_steps < 20
    state = bench.submit(backend, budget=Budget(18, "fail"), num_inference_steps=fits.num_inference_steps)
    bench.run()
    assert state.future.result(0).finish_reason == "completed"


def test_smaller_size_is_named_where_no_step_fits_at_the_one_asked() -> None:
    bench = Bench()
    slow = TimedBackend(bench.clock, lambda rows: 8.0)
    learned(bench, slow, width=64, height=64)
    fits = refusal(bench, slow, budget=Budget(5, "fail"), width=64, height=64, num_inference_steps=1).fits
    assert fits is not None and fits.width is not None and fits.height is not None
    assert fits.width == fits.height < 64
    bench.submit(slow, budget=Budget(5, "fail"), width=fits.width, height=fits.height, num_inference_steps=1)


def test_after_the_time_that_was_named_it_is_let_in() -> None:
    bench, backend = busy_bench(0)
    bench.submit(backend, budget=Budget(26), num_inference_steps=20)
    refused = refusal(bench, backend, budget=Budget(28, "fail"), num_inference_steps=10)
    assert refused.retryable and refused.retry_after_s is not None
    until = bench.clock.now + refused.retry_after_s
    while bench.clock.now < until:
        bench.tick()
    assert bench.submit(backend, budget=Budget(28, "fail"), num_inference_steps=10)


def test_what_an_idle_engine_could_not_do_either_is_not_to_be_tried_again() -> None:
    bench, backend = busy_bench(0)
    refused = refusal(bench, backend, budget=Budget(10, "fail"), num_inference_steps=50)
    assert not refused.retryable
    assert refused.retry_after_s is None


def test_newcomer_that_would_make_another_late_is_refused() -> None:
    """Its own deadline is the earlier one, and there would be time for it."""
    bench, backend = busy_bench(0)
    first = bench.submit(backend, budget=Budget(14, "fail"), num_inference_steps=10)
    refusal(bench, backend, budget=Budget(10, "fail"), num_inference_steps=5)
    bench.run()
    assert first.future.result(0).finish_reason == "completed"


def test_idle_engine_tries_what_it_has_never_measured() -> None:
    bench = Bench()
    backend = TimedBackend(bench.clock, lambda rows: 0.1)
    backend.info = backend.info.__class__(**{**vars(backend.info), "cell_step_prior_s": 1000.0})
    state = bench.submit(backend, budget=Budget(10, "fail"), num_inference_steps=10)
    bench.run()
    assert state.future.result(0).finish_reason == "completed"


def test_position_counts_those_who_are_due_before() -> None:
    bench, backend = Bench(), TimedBackend(Bench().clock, lambda rows: 0.0)
    budgets = (ALL_DAY, Budget(10), Budget(20), Budget(5))
    assert [bench.submit(backend, budget=budget).plan.position for budget in budgets] == [0, 0, 1, 0]
