"""Lanes share the device by deadline, and none waits for ever."""

from __future__ import annotations

import pytest

from app.backends.fake import FakeBackend
from app.core import Budget
from tests.support.bench import ALL_DAY, Bench

MAX_WAIT_TICKS = 8  # that a lane is passed over


def longest_wait(rom_ids: list[str], rom_id: str) -> int:
    """Ticks from the first to the next of the ROM's forwards, at most."""
    turns = [tick for tick, other in enumerate(rom_ids) if other == rom_id]
    return max(after - before for before, after in zip([-1, *turns], turns, strict=False))


def test_lane_of_the_earliest_deadline_goes_first() -> None:
    bench = Bench()
    bench.submit(FakeBackend(), rom_id="later", budget=Budget(60))
    bench.submit(FakeBackend(), rom_id="sooner", budget=Budget(30))
    bench.run()
    assert bench.log.rom_ids == ["sooner"] * 4 + ["later"] * 4


def test_lane_is_as_urgent_as_its_most_urgent_request() -> None:
    bench, mixed = Bench(), FakeBackend()
    bench.submit(mixed, rom_id="mixed", budget=Budget(60), num_inference_steps=6)
    bench.submit(FakeBackend(), rom_id="between", budget=Budget(40))
    bench.submit(mixed, rom_id="mixed", budget=Budget(20))
    bench.run()
    assert bench.log.rom_ids == ["mixed"] * 4 + ["between"] * 4 + ["mixed"] * 2


def test_within_a_lane_the_earliest_deadline_has_the_first_place() -> None:
    bench, backend = Bench(max_batch_size=1), FakeBackend()
    later = bench.submit(backend, budget=Budget(60))
    sooner = bench.submit(backend, budget=Budget(30))
    bench.tick(4)
    assert sooner.future.done()
    assert not later.completed_steps


def test_newcomer_with_less_time_takes_over_between_two_steps() -> None:
    bench, backend = Bench(max_batch_size=1), FakeBackend()
    running = bench.submit(backend, budget=Budget(60), num_inference_steps=10)
    bench.tick(3)
    urgent = bench.submit(backend, budget=Budget(30), num_inference_steps=2)
    bench.tick(2)
    assert urgent.future.done()
    assert running.completed_steps == 3


@pytest.mark.parametrize("urgent_lanes", [1, 4, 12])
def test_patient_lane_is_not_starved_by_a_stream_of_urgent_ones(urgent_lanes: int) -> None:
    bench, backends = Bench(), [FakeBackend() for _ in range(urgent_lanes)]
    patient = bench.submit(FakeBackend(), rom_id="patient", budget=ALL_DAY, num_inference_steps=3)
    while not patient.future.done():
        for index, backend in enumerate(backends):
            bench.submit(backend, rom_id=f"urgent {index}", budget=Budget(10), num_inference_steps=1)
        bench.tick()
    assert longest_wait(bench.log.rom_ids, "patient") <= MAX_WAIT_TICKS + urgent_lanes + 1


def test_lane_waits_its_ticks_before_it_is_granted_a_turn() -> None:
    bench = Bench()
    bench.submit(FakeBackend(), rom_id="urgent", budget=Budget(10), num_inference_steps=30)
    bench.submit(FakeBackend(), rom_id="patient", budget=Budget(60), num_inference_steps=2)
    bench.tick(18)
    assert bench.log.rom_ids == (["urgent"] * MAX_WAIT_TICKS + ["patient"]) * 2


def test_requests_of_two_roms_in_turn_share_forwards_within_each() -> None:
    bench, first, second = Bench(), FakeBackend(), FakeBackend()
    for _ in range(3):
        bench.submit(first, rom_id="first")
        bench.submit(second, rom_id="second")
    bench.run()
    assert bench.log.rom_ids == ["first"] * 4 + ["second"] * 4
    assert bench.log.rows == [3] * 8


def test_late_rom_is_not_kept_waiting_by_a_busy_one() -> None:
    bench = Bench()
    busy = bench.submit(FakeBackend(), rom_id="busy", num_inference_steps=100)
    bench.tick(5)
    late = bench.submit(FakeBackend(), rom_id="late", num_inference_steps=3)
    bench.tick(3 * (MAX_WAIT_TICKS + 2))
    assert late.future.done()
    assert not busy.future.done()
