"""Enlarging counts in the plan, ends where its request ends, and fails nobody else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from app.backends.base import Guide, UpscalerInfo
from app.backends.fake import FakeBackend
from app.core import Budget
from app.engine.state import RequestState
from app.engine.upscaling import UpscaleState, Upscaling
from app.errors import BackendError, Cancelled, DeadlineExceeded, NotReady, OutOfRomMemory, Overloaded
from tests.support.bench import A_MINUTE, Bench
from tests.support.clock import FakeClock
from tests.support.params import make_params

PIECES = 3
IMAGE = np.full((8, 8, 3), 200, dtype=np.uint8)


class SlowUpscaler:
    """Repeats pixels, in pieces that take as long as it is told."""

    def __init__(self, clock: FakeClock, piece_s: float, needed: int = 0) -> None:
        self.info = UpscalerInfo((2,), torch.device("cpu"), {}, pixel_prior_s=0.0)
        self.on_call: Callable[[], object] = list
        self.after_piece: Callable[[], object] = list
        self._clock = clock
        self._piece_s = piece_s
        self._needed = needed

    def needed_bytes(self, height: int, width: int, factor: int) -> int:
        return self._needed

    def upscale(self, image: torch.Tensor, factor: int, guide: Guide, on_piece: Callable[[], None]) -> torch.Tensor:
        self.on_call()
        for _ in range(PIECES):
            self._clock.advance(self._piece_s)
            on_piece()
            self.after_piece()
        return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)

    def park(self) -> None:
        """There is nothing to move."""

    def resume(self) -> None:
        """Nothing was moved."""

    def unload(self) -> None:
        """Nothing is held."""


class Stand:
    def __init__(self, piece_s: float = 1.0, needed: int = 0) -> None:
        self.bench, self.backend = Bench(), FakeBackend()
        self.upscaler = SlowUpscaler(self.bench.clock, piece_s, needed)
        self.upscaling = Upscaling("large", self.upscaler, 2, 10**6)

    def submit(self, budget: Budget = A_MINUTE) -> RequestState:
        params = make_params(num_inference_steps=4)
        state = self.bench.engine.submit("r", "rom", params, self.backend, budget, upscaling=self.upscaling)
        self.bench.states.append(state)
        return state

    def submit_image(self, budget: Budget = A_MINUTE) -> UpscaleState:
        return self.bench.engine.submit_upscaling("i", self.upscaling, IMAGE, ("", 0), budget)


def test_images_come_enlarged_and_its_time_is_told() -> None:
    stand = Stand()
    plain = stand.bench.submit(stand.backend, num_inference_steps=4)
    large = stand.submit()
    stand.bench.run()
    result = large.future.result(0)
    (before,), (after,) = plain.future.result(0).images, result.images
    assert after.tobytes() == before.repeat(2, 0).repeat(2, 1).tobytes()
    assert (result.upscale_s, result.decode_s) == (PIECES, 0.0)
    assert plain.future.result(0).upscale_s == 0.0


def test_what_it_took_before_counts_in_the_plan() -> None:
    stand = Stand()
    stand.submit()
    stand.bench.run()
    with pytest.raises(Overloaded, match="an idle service would not make it either"):
        stand.submit(Budget(PIECES / 2))
    assert stand.bench.submit(stand.backend, num_inference_steps=4, budget=Budget(PIECES / 2))


def test_others_are_not_made_late_by_it() -> None:
    stand = Stand()
    stand.submit()
    stand.bench.run()
    stand.bench.submit(stand.backend, num_inference_steps=4, budget=Budget(4.0, "fail"))
    with pytest.raises(Overloaded):
        stand.submit(Budget(3.9, "fail"))


def test_one_that_is_cancelled_ends_between_pieces() -> None:
    stand = Stand()
    state = stand.submit()
    stand.upscaler.on_call = lambda: stand.bench.engine.cancel(state)
    stand.bench.run()
    assert isinstance(state.future.exception(0), Cancelled)
    assert stand.bench.clock.now == 1001.0


def test_an_engine_that_enlarges_does_not_stand_still() -> None:
    stand, stalled = Stand(piece_s=100.0), list[float]()
    stand.upscaler.after_piece = lambda: stalled.append(stand.bench.engine.stalled_s())
    stand.submit(Budget(10_000.0))
    stand.bench.run()
    assert stalled == [0.0] * PIECES


def test_one_that_fails_fails_alone() -> None:
    stand = Stand()
    broken, plain = stand.submit(), stand.bench.submit(stand.backend, num_inference_steps=4)

    def fail() -> None:
        raise ValueError("no such shape")

    stand.upscaler.on_call = fail
    stand.bench.run()
    assert isinstance(broken.future.exception(0), BackendError)
    assert plain.future.result(0).images


def test_one_that_has_not_the_memory_names_the_field() -> None:
    stand = Stand(needed=2**60)
    state = stand.submit_image()
    stand.bench.tick()
    error = state.future.exception(0)
    assert isinstance(error, OutOfRomMemory)
    assert error.param == "upscale"


def test_an_image_that_came_along_is_enlarged() -> None:
    stand = Stand()
    state = stand.submit_image()
    stand.bench.tick()
    result = state.future.result(0)
    assert result.images[0].tobytes() == IMAGE.repeat(2, 0).repeat(2, 1).tobytes()
    assert (result.upscale_s, result.completed_steps) == (PIECES, 0)


def test_an_image_that_would_be_late_is_refused_once_it_is_known() -> None:
    stand = Stand()
    stand.submit_image()
    stand.bench.tick()
    with pytest.raises(Overloaded):
        stand.submit_image(Budget(PIECES / 2))


def test_an_image_whose_turn_comes_late_is_not_enlarged() -> None:
    stand = Stand()
    state = stand.submit_image(Budget(5.0))
    stand.bench.clock.advance(6.0)
    stand.bench.tick()
    assert isinstance(state.future.exception(0), DeadlineExceeded)


def test_an_image_that_is_cancelled_before_its_turn_is_not_enlarged() -> None:
    stand = Stand()
    state = stand.submit_image()
    stand.bench.engine.cancel(state)
    stand.bench.tick()
    assert isinstance(state.future.exception(0), Cancelled)


def test_a_closed_engine_takes_no_image() -> None:
    stand = Stand()
    stand.bench.engine.close()
    with pytest.raises(NotReady):
        stand.submit_image()
