"""Those who follow a request on its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.backends.fake import FakeBackend
from app.core import Budget
from app.errors import Overloaded
from tests.support.backends import FaultyBackend, TimedBackend
from tests.support.bench import ALL_DAY, Bench, alone, image_of
from tests.support.clock import FakeClock
from tests.support.followers import Follower


def test_every_step_is_told_once_and_in_order() -> None:
    bench, follower = Bench(), Follower()
    bench.submit(FakeBackend(), listener=follower, num_inference_steps=4, seeds=(1, 2))
    bench.run()
    assert follower.steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def without_tiny_decoder() -> FakeBackend:
    backend = FakeBackend()
    backend.info = replace(backend.info, decoders=("full",))
    return backend


def test_previews_come_at_their_steps_one_an_image_and_a_pixel_a_latent_cell() -> None:
    bench, follower = Bench(), Follower(1, 3)
    bench.submit(without_tiny_decoder(), listener=follower, num_inference_steps=4, seeds=(1, 2), width=32, height=16)
    bench.run()
    assert follower.previews_at == [1, 3]
    assert [image.shape for images in follower.images for image in images] == [(2, 4, 3)] * 4


def test_preview_has_the_colours_of_the_picture() -> None:
    bench, follower = Bench(), Follower(3)
    state = bench.submit(without_tiny_decoder(), listener=follower, num_inference_steps=4, width=64, height=64)
    bench.run()
    picture = state.future.result(0).images[0].astype(int)
    cells = picture.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    assert np.abs(cells.mean(axis=(0, 1)) - follower.images[0][0].mean(axis=(0, 1))).max() < 16


def test_tiny_decoder_makes_previews_of_full_size() -> None:
    bench, follower = Bench(), Follower(2)
    state = bench.submit(FakeBackend(), listener=follower, num_inference_steps=4, width=64, height=32)
    bench.run()
    (preview,), picture = follower.images[0], state.future.result(0).images[0]
    assert preview.shape == picture.shape == (32, 64, 3)
    assert np.abs(preview.astype(int).mean(axis=(0, 1)) - picture.astype(int).mean(axis=(0, 1))).max() < 32


def test_time_that_previews_take_is_foreseen() -> None:
    """Two seconds of steps and a decoding fit into three, and ten previews of half a second each do not."""
    clock = FakeClock()
    bench, backend = Bench(clock=clock), TimedBackend(clock, lambda rows: 0.2, decode_s=0.5)
    bench.submit(backend, budget=ALL_DAY, num_inference_steps=50, listener=Follower(*range(1, 50)))
    bench.run()
    asked: dict[str, Any] = {"num_inference_steps": 10, "budget": Budget(3.5, "fail")}
    plain = bench.submit(backend, **asked)
    bench.run()
    assert plain.future.result(0).finish_reason == "completed"
    with pytest.raises(Overloaded):
        bench.submit(backend, listener=Follower(*range(1, 10)), **asked)


def test_previews_leave_the_picture_as_it_is() -> None:
    bench = Bench()
    state = bench.submit(FakeBackend(), listener=Follower(1, 2, 3), num_inference_steps=4)
    bench.run()
    assert image_of(state) == image_of(alone(FakeBackend(), num_inference_steps=4))


def test_preview_that_fails_costs_only_itself() -> None:
    bench, follower, backend = Bench(), Follower(1), FaultyBackend()
    backend.decode_faults.append(RuntimeError("the autoencoder gave up"))
    state = bench.submit(backend, listener=follower, num_inference_steps=4)
    bench.run()
    assert follower.images == []
    assert image_of(state) == image_of(alone(FakeBackend(), num_inference_steps=4))
