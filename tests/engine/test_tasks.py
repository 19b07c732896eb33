"""Image-to-image and inpainting rows: they keep to themselves in a crowd, and keep what they were told to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.core import Budget
from app.errors import Overloaded
from app.imaging import Pixels, Source
from app.roms.catalog import read_rom
from tests.support.backends import TimedBackend, WatchedBackend
from tests.support.bench import Bench, alone, latents_of, learned
from tests.support.clock import FakeClock
from tests.support.tiny_roms import TinyRoms

SIDE = 16
TOLERANCE = 1e-5  # of the latents' scale; a convolution rounds differently in a larger batch
IMAGE: Pixels = np.random.default_rng(4).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
RIGHT_HALF = np.zeros((SIDE, SIDE), np.uint8)
RIGHT_HALF[:, SIDE // 2 :] = 255
REDRAW: dict[str, Any] = {"task": "image-to-image", "strength": 0.5, "source": Source(IMAGE)}
REPAINT: dict[str, Any] = {"task": "inpainting", "strength": 1.0, "source": Source(IMAGE, RIGHT_HALF)}
MIXED: list[dict[str, Any]] = [
    {"prompt": "a lighthouse", "num_inference_steps": 6, "guidance_scale": 3.0},
    {"prompt": "a windmill", "num_inference_steps": 8, "scheduler": "dpmpp_2m"} | REDRAW,
    {"prompt": "the sea", "num_inference_steps": 5, "scheduler": "euler_ancestral", "seeds": (1, 2)} | REPAINT,
    {"prompt": "a boat", "num_inference_steps": 7, "guidance_scale": 5.0} | REPAINT | {"strength": 0.6},
]


@pytest.fixture
def backend(request: pytest.FixtureRequest, tiny_roms: TinyRoms) -> Iterator[Backend]:
    backend = load_backend(read_rom(tiny_roms[request.param]), LoadOptions("cpu", "float32"))
    yield backend
    backend.unload()


def assert_alike(crowd: torch.Tensor, solitude: torch.Tensor) -> None:
    assert float((crowd - solitude).abs().max()) <= TOLERANCE * float(solitude.abs().max())


@pytest.mark.parametrize("backend", ["sd", "bk-sdm", "sdxl", "ssd-1b"], indirect=True)
def test_tasks_share_forwards_and_each_is_as_it_is_alone(backend: Backend) -> None:
    bench = Bench(max_batch_size=16)
    states = [bench.submit(backend, **asked) for asked in MIXED]
    bench.run()
    assert bench.log.rows[0] == 7  # two guided images, and three that are not
    for state, asked in zip(states, MIXED, strict=True):
        assert_alike(latents_of(state), latents_of(alone(backend, **asked)))


@pytest.mark.parametrize("backend", ["sd inpainting", "sdxl inpainting"], indirect=True)
def test_rows_of_an_inpainting_model_share_forwards_too(backend: Backend) -> None:
    asks = [REPAINT | {"prompt": "the sea"}, REPAINT | {"prompt": "a boat", "guidance_scale": 4.0, "strength": 0.5}]
    bench = Bench(max_batch_size=16)
    states = [bench.submit(backend, **asked) for asked in asks]
    bench.run()
    assert bench.log.rows[0] == 3
    for state, asked in zip(states, asks, strict=True):
        assert_alike(latents_of(state), latents_of(alone(backend, **asked)))


@pytest.mark.parametrize("backend", ["sdxl"], indirect=True)
def test_sizes_are_told_to_each_and_do_not_share_forwards(backend: Backend) -> None:
    """The same prompt and seed at two sizes, and beside them one that has no negative prompt."""
    asks: list[dict[str, Any]] = [
        {"width": 16, "height": 24, "guidance_scale": 3.0},
        {"width": 24, "height": 16, "guidance_scale": 3.0, "negative_prompt": None},
        {"width": 24, "height": 16, "guidance_scale": 3.0, "negative_prompt": ""},
    ]
    bench = Bench(max_batch_size=16)
    states = [bench.submit(backend, **asked) for asked in asks]
    bench.run()
    assert set(bench.log.rows) == {2, 4}
    solitudes = [latents_of(alone(backend, **asked)) for asked in asks]
    for state, solitude in zip(states, solitudes, strict=True):
        assert_alike(latents_of(state), solitude)
    with pytest.raises(AssertionError):
        assert_alike(solitudes[1], solitudes[2])


@pytest.mark.parametrize("scheduler", ["ddim", "euler_ancestral", "dpmpp_2m"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_the_mask_leaves_comes_back(scheduler: str, strength: float) -> None:
    asked = REPAINT | {"strength": strength, "scheduler": scheduler, "seeds": (3, 4)}
    cells = IMAGE.reshape(2, 8, 2, 8, 3).mean((1, 3))  # the fake backend knows one colour a cell
    for picture in alone(FakeBackend(), **asked).future.result(0).images:
        drawn = picture.reshape(2, 8, 2, 8, 3).mean((1, 3))
        assert np.abs(drawn[:, 0] - cells[:, 0]).max() <= 1
        assert np.abs(drawn[:, 1] - cells[:, 1]).max() > 20


def test_what_the_mask_leaves_comes_back_at_a_deadline_too() -> None:
    clock = FakeClock()
    bench, backend = Bench(clock=clock), TimedBackend(clock, lambda rows: 1.0)
    learned(bench, backend, width=SIDE, height=SIDE)
    state = bench.submit(backend, budget=Budget(28.0), num_inference_steps=30, **REPAINT)
    bench.run()
    result = state.future.result(0)
    assert (result.finish_reason, 0 < result.completed_steps < 30) == ("deadline", True)
    left = IMAGE[:, :8].reshape(2, 8, 8, 3).mean((1, 2))
    assert np.abs(result.images[0][:, :8].reshape(2, 8, 8, 3).mean((1, 2)) - left).max() <= 1


@pytest.mark.parametrize(("strength", "forwards"), [(1.0, 10), (0.8, 8), (0.25, 2), (0.1, 1)])
def test_strength_is_the_share_of_the_steps_that_are_taken(strength: float, forwards: int) -> None:
    backend = WatchedBackend(FakeBackend())
    state = alone(backend, num_inference_steps=10, **REDRAW | {"strength": strength})
    assert len(backend.forwards) == state.future.result(0).completed_steps == forwards


def test_weak_strength_stays_nearer_to_the_image() -> None:
    def distance(strength: float) -> float:
        (picture,) = (
            alone(FakeBackend(), num_inference_steps=10, **REDRAW | {"strength": strength}).future.result(0).images
        )
        return float(
            np.abs(picture.astype(int) - IMAGE.reshape(2, 8, 2, 8, 3).mean((1, 3)).repeat(8, 0).repeat(8, 1)).mean()
        )

    assert distance(0.1) < distance(0.5) < distance(1.0)


def test_refusal_names_inference_steps_of_which_the_strength_leaves_what_fits() -> None:
    clock = FakeClock()
    bench, backend = Bench(clock=clock), TimedBackend(clock, lambda rows: 1.0)
    learned(bench, backend, width=SIDE, height=SIDE)
    asked: dict[str, Any] = {"budget": Budget(12.0, "fail"), **REDRAW}
    with pytest.raises(Overloaded) as raised:
        bench.submit(backend, num_inference_steps=50, **asked)
    assert raised.value.fits is not None
    fitting = raised.value.fits.num_inference_steps
    assert 12 < fitting < 25  # half of them are taken
    state = bench.submit(backend, num_inference_steps=fitting, **asked)
    bench.run()
    assert state.future.result(0).finish_reason == "completed"
