"""How many rows a forward may have: what was allowed, what memory holds, and what still pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from app.backends.devices import free_bytes
from app.backends.fake import FakeBackend
from app.roms.memory import MemoryModel
from tests.support.backends import SMALL_CELLS, TimedBackend, WatchedBackend
from tests.support.bench import ALL_DAY, Bench
from tests.support.clock import FakeClock


def seeds(count: int) -> tuple[int, ...]:
    return tuple(range(count))


def rows_once_learned(step_s: Callable[[int], float]) -> set[int]:
    """Rows of the forwards of sixteen images, after batches of all sizes were tried."""
    clock = FakeClock()
    bench, backend = Bench(max_batch_size=16, clock=clock), TimedBackend(clock, step_s)
    for count in (1, 2, 4, 8, 16):
        bench.submit(backend, budget=ALL_DAY, seeds=seeds(count))
        bench.run()
    tried = len(bench.log.rows)
    bench.submit(backend, budget=ALL_DAY, seeds=seeds(16))
    bench.run()
    return set(bench.log.rows[tried:])


def test_no_forward_has_more_rows_than_allowed() -> None:
    bench, backend = Bench(max_batch_size=4), FakeBackend()
    for count in (1, 3, 7, 2):
        bench.submit(backend, seeds=seeds(count))
    bench.run()
    assert max(bench.log.rows) == 4
    assert sum(bench.log.rows) == 13 * 4


def test_guided_image_takes_two_rows() -> None:
    backend = WatchedBackend(FakeBackend())
    bench = Bench(max_batch_size=4)
    bench.submit(backend, guidance_scale=5.0, seeds=seeds(3))
    bench.run()
    assert bench.log.rows == [4] * 6
    assert [len(forward) for forward in backend.forwards] == [4] * 6


def test_image_without_guidance_takes_one_row() -> None:
    backend = WatchedBackend(FakeBackend())
    bench = Bench()
    bench.submit(backend, guidance_scale=1.0)
    bench.run()
    assert [len(forward) for forward in backend.forwards] == [1] * 4


def test_room_too_small_for_a_guided_image_goes_to_one_without() -> None:
    bench, backend = Bench(max_batch_size=3), FakeBackend()
    for guidance_scale in (5.0, 5.0, 1.0):
        bench.submit(backend, guidance_scale=guidance_scale)
    bench.tick()
    assert [state.completed_steps for state in bench.states] == [1, 0, 1]


def test_guided_image_runs_also_where_only_one_row_is_allowed() -> None:
    bench = Bench(max_batch_size=1)
    bench.submit(FakeBackend(), guidance_scale=5.0)
    bench.run()
    assert bench.log.rows == [2] * 4


def test_step_outside_the_guidance_interval_takes_one_row() -> None:
    bench = Bench()
    bench.submit(FakeBackend(), guidance_scale=5.0, num_inference_steps=10, guidance_interval=(0.2, 0.8))
    bench.run()
    assert bench.log.rows == [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]


def test_forward_has_no_more_rows_than_memory_holds() -> None:
    bench, backend = Bench(max_batch_size=8), FakeBackend()
    spare = free_bytes(torch.device("cpu")) * 8 // 10
    backend.info = replace(backend.info, memory=MemoryModel(spare * 2 // 7 // SMALL_CELLS))  # three rows and a half
    bench.submit(backend, seeds=seeds(6))
    bench.run()
    assert bench.log.rows == [3] * 8


def test_larger_images_are_fewer_to_a_forward() -> None:
    bench, backend = Bench(max_batch_size=8), FakeBackend()
    spare = free_bytes(torch.device("cpu")) * 8 // 10
    backend.info = replace(backend.info, memory=MemoryModel(spare // 10 // SMALL_CELLS))  # ten small rows
    bench.submit(backend, width=32, height=32, seeds=seeds(4))
    bench.run()
    assert bench.log.rows == [2] * 8


def test_forward_is_not_larger_than_what_pays() -> None:
    assert rows_once_learned(lambda rows: max(1.0, rows / 4)) == {4}


def test_forward_is_as_large_as_allowed_while_that_pays() -> None:
    assert rows_once_learned(lambda rows: 1.0 + rows / 100) == {16}


def test_rows_go_one_by_one_where_a_batch_saves_nothing() -> None:
    assert rows_once_learned(lambda rows: float(rows)) == {1}
