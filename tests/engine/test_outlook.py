"""What a request that is not here yet is told to expect."""

from __future__ import annotations

import pytest

from tests.support.backends import TimedBackend
from tests.support.bench import Bench, learned
from tests.support.clock import FakeClock

STEPS = 8


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def bench(clock: FakeClock) -> Bench:
    return Bench(1, clock=clock)


def timed(clock: FakeClock, step_s: float, decode_s: float) -> TimedBackend:
    return TimedBackend(clock, lambda rows: step_s * rows, decode_s=decode_s)


def test_on_an_idle_device_nothing_is_to_be_waited_for(bench: Bench) -> None:
    outlook = bench.engine.outlook()
    assert (outlook.queue_s, outlook.paces) == (0.0, {})


def test_the_wait_is_what_the_accepted_requests_will_take(bench: Bench, clock: FakeClock) -> None:
    backend = timed(clock, step_s=1.0, decode_s=2.0)
    learned(bench, backend)
    for _ in range(3):
        bench.submit(backend, num_inference_steps=STEPS)
    foreseen, started = bench.engine.outlook().queue_s, clock.now
    bench.run()
    assert clock.now - started <= foreseen < 1.2 * (clock.now - started)  # it errs on the late side


def test_a_rom_that_has_run_has_its_own_pace(bench: Bench, clock: FakeClock) -> None:
    slow, fast = timed(clock, 2.0, 1.0), timed(clock, 0.5, 0.1)
    for rom_id, backend in (("slow", slow), ("fast", fast)):
        for _ in range(12):
            state = bench.submit(backend, rom_id=rom_id, num_inference_steps=STEPS)
            bench.run()
    cells = state.params.width // 8 * state.params.height // 8
    paces = bench.engine.outlook().paces
    assert paces["slow"].step_s * cells == pytest.approx(2.0, rel=0.05)
    assert paces["fast"].step_s * cells == pytest.approx(0.5, rel=0.05)
    assert paces["slow"].decode_s * cells == pytest.approx(1.0, rel=0.1)
