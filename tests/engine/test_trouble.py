"""A device without memory, a device that is lost, and pictures that come out black."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from app.backends.fake import FakeBackend
from app.engine.care import DeviceCare
from app.errors import BackendError, OutOfRomMemory
from app.roms.memory import MemoryModel
from tests.support.backends import BlankBackend, CrampedBackend, FaultyBackend, WatchedBackend
from tests.support.bench import Bench, alone, image_of


def out_of_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    bench, backend = Bench(max_batch_size=8), WatchedBackend(CrampedBackend(rows=3))
    states = [bench.submit(backend, seeds=(seed,)) for seed in range(8)]
    bench.run()
    assert [image_of(state) for state in states] == [image_of(alone(FakeBackend(), seeds=(seed,))) for seed in range(8)]
    assert max(len(forward) for forward in backend.forwards[2:]) <= 2


def test_idle_roms_make_room_for_a_single_image() -> None:
    backend, freed = CrampedBackend(rows=0), list[str]()

    def free_memory() -> bool:
        backend.rows = 1
        freed.append("idle")
        return True

    bench = Bench(care=DeviceCare(free_memory=free_memory))
    state = bench.submit(backend)
    bench.run()
    assert freed == ["idle"]
    assert image_of(state) == image_of(alone(FakeBackend()))


def test_image_for_which_there_is_no_room_at_all_fails_and_the_others_go_on() -> None:
    bench, sound = Bench(), FakeBackend()
    large = bench.submit(CrampedBackend(rows=0), rom_id="large")
    other = bench.submit(sound)
    bench.run()
    with pytest.raises(OutOfRomMemory, match=r"'large' has not the memory"):
        large.future.result(0)
    assert image_of(other) == image_of(alone(sound))


def test_pictures_that_cannot_be_decoded_together_are_decoded_one_by_one() -> None:
    bench = Bench()
    state = bench.submit(CrampedBackend(images=1), seeds=(1, 2, 3))
    bench.run()
    assert image_of(state) == image_of(alone(FakeBackend(), seeds=(1, 2, 3)))


@pytest.mark.parametrize("kind", ["forward", "decode", "encode"])
def test_lost_device_is_reported_whoever_meets_it(kind: str) -> None:
    lost: list[str] = []
    bench, backend = Bench(care=DeviceCare(report_lost=lost.append)), FaultyBackend()
    faults: list[Exception] = getattr(backend, f"{kind}_faults")
    faults.append(RuntimeError("CUDA error: an illegal memory access was encountered"))
    state = bench.submit(backend)
    bench.run()
    assert isinstance(state.future.exception(0), BackendError)
    assert len(lost) == 1 and "illegal memory access" in lost[0]


def test_ordinary_failure_is_logged_and_not_taken_for_a_lost_device(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[str] = []
    bench, backend = Bench(care=DeviceCare(report_lost=lost.append)), FaultyBackend()
    backend.forward_faults.append(RuntimeError("shapes do not match"))
    bench.submit(backend)
    bench.run()
    assert lost == []
    (line,) = caplog.records
    assert (line.message, line.levelname) == ("backend_failed", "ERROR")
    assert line.exc_info is not None and "shapes do not match" in str(line.exc_info[1])


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_blank_picture_is_repaired_in_float32(value: float) -> None:
    backend = BlankBackend(value, sound_images=1)
    state = alone(backend, seeds=(1, 2, 3))
    assert image_of(state) == image_of(alone(FakeBackend(), seeds=(1, 2, 3)))
    assert backend.upcasts == [2]
    assert state.future.result(0).notices == ()


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_picture_that_stays_blank_is_flagged(value: float) -> None:
    result = alone(BlankBackend(value, upcast_helps=False)).future.result(0)
    assert [notice.code for notice in result.notices] == ["blank_image"]
    assert not result.images[0].any()


def test_engine_stands_still_only_while_it_has_work() -> None:
    bench = Bench()
    bench.clock.advance(500)
    assert bench.engine.stalled_s() == 0
    bench.submit(FakeBackend())
    bench.clock.advance(30)
    assert bench.engine.stalled_s() == 30
    bench.tick()
    assert bench.engine.stalled_s() == 0
    bench.run()
    bench.clock.advance(500)
    assert bench.engine.stalled_s() == 0


def test_image_that_would_not_fit_is_told_so_before_anything_is_tried() -> None:
    bench, backend = Bench(), WatchedBackend(FakeBackend())
    backend.info = replace(backend.info, memory=MemoryModel(row_cell_bytes=2**60))
    large, other = bench.submit(backend, rom_id="large"), bench.submit(FakeBackend())
    bench.run()
    with pytest.raises(OutOfRomMemory, match=r"'large'.* 16x16 takes \d+ MiB .* \d+ are free"):
        large.future.result(0)
    assert backend.forwards == []
    assert image_of(other) == image_of(alone(FakeBackend()))


@pytest.mark.parametrize("foreseen", [True, False])
def test_picture_that_cannot_be_decoded_whole_is_decoded_in_parts_and_told_so(foreseen: bool) -> None:
    backend = CrampedBackend(images=100 if foreseen else 0)
    if foreseen:
        backend.info = replace(backend.info, memory=MemoryModel(1, pixel_bytes={"full": 2**60}))
    state = alone(backend, seeds=(1, 2))
    assert image_of(state) == image_of(alone(FakeBackend(), seeds=(1, 2)))
    assert [notice.code for notice in state.future.result(0).notices] == ["tiled"]
    assert backend.tiled == 2
