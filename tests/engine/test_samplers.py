"""Rows whose scheduler is an object of diffusers: in one forward with everybody, and as they are alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.backends.samplers import DiffusersAdapter
from app.core import Budget, GenerationParams
from app.errors import InvalidRequest, Overloaded
from app.invoker.resolve import resolve
from app.invoker.runner import defaults_of
from app.roms.catalog import Rom, read_rom
from tests.engine.test_tasks import REDRAW, REPAINT, assert_alike
from tests.support.backends import CrampedBackend, TimedBackend, WatchedBackend
from tests.support.bench import Bench, alone, image_of, latents_of, learned
from tests.support.clock import FakeClock
from tests.support.followers import Follower
from tests.support.tiny_rom import STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

MIXED: list[dict[str, Any]] = [
    {"prompt": "a lighthouse", "num_inference_steps": 6, "guidance_scale": 3.0, "scheduler": "PNDMScheduler"},
    {"prompt": "a windmill", "num_inference_steps": 8, "scheduler": "dpmpp_2m"},
    {"prompt": "the sea", "scheduler": "KDPM2AncestralDiscreteScheduler", "seeds": (1, 2)},
    {"prompt": "a boat", "num_inference_steps": 7, "guidance_scale": 5.0, "scheduler": "LMSDiscreteScheduler"}
    | REPAINT,
    {"prompt": "a tree", "num_inference_steps": 6, "scheduler": "DEISMultistepScheduler", "seeds": (4, 5)} | REDRAW,
    {"prompt": "a cloud", "num_inference_steps": 5, "scheduler": "heun", "seeds": (3,)} | REPAINT | {"strength": 0.6},
    {"prompt": "a bird", "num_inference_steps": 4, "scheduler": "euler_ancestral"},
]


@pytest.fixture(scope="module")
def rom(tmp_path_factory: pytest.TempPathFactory) -> Rom:
    config = STABLE_DIFFUSION_SCHEDULE | {"skip_prk_steps": True}
    options = TinyRom(scheduler_class="PNDMScheduler", scheduler_config=config)
    return read_rom(build_tiny_rom(Path(tmp_path_factory.mktemp("samplers")) / "rom", options))


@pytest.fixture(scope="module")
def backend(rom: Rom) -> Iterator[Backend]:
    backend = load_backend(rom, LoadOptions("cpu", "float32"))
    yield backend
    backend.unload()


def adapted(backend: FakeBackend) -> Backend:
    """A backend without weights that knows diffusers' schedulers."""
    backend.info = replace(backend.info, scheduler_adapter=DiffusersAdapter({"prediction_type": "sample"}))
    return backend


def test_all_share_forwards_and_each_is_as_it_is_alone(backend: Backend) -> None:
    bench = Bench(max_batch_size=16)
    states = [bench.submit(backend, **asked) for asked in MIXED]
    bench.run()
    assert bench.log.rows[0] == 11  # two guided images, and seven that are not
    for state, asked in zip(states, MIXED, strict=True):
        assert_alike(latents_of(state), latents_of(alone(backend, **asked)))


def test_each_image_of_a_stochastic_scheduler_is_that_of_its_own_seed(backend: Backend) -> None:
    asked: dict[str, Any] = {"scheduler": "KDPM2AncestralDiscreteScheduler"}
    both = latents_of(alone(backend, seeds=(5, 6), **asked))
    for row, seed in enumerate((5, 6)):
        assert_alike(both[row : row + 1], latents_of(alone(backend, seeds=(seed,), **asked)))
    assert not torch.allclose(both[0], both[1])


@pytest.mark.parametrize(
    ("scheduler", "asked", "rows"),
    [
        ("DEISMultistepScheduler", {}, [1, 2, 2, 1, 1]),
        ("PNDMScheduler", {}, [1, 1, 2, 2, 1, 1]),  # the first inference step takes two
        ("KDPM2DiscreteScheduler", {}, [1, 1, 2, 2, 2, 2, 1, 1, 1]),
        ("KDPM2DiscreteScheduler", REDRAW | {"strength": 0.8}, [2, 2, 2, 2, 1, 1, 1]),
    ],
)
def test_guidance_interval_is_a_share_of_the_inference_steps(
    backend: Backend, scheduler: str, asked: dict[str, Any], rows: list[int]
) -> None:
    watched = WatchedBackend(backend)
    guided = {"guidance_scale": 4.0, "guidance_interval": (0.2, 0.6), "num_inference_steps": 5}
    state = alone(watched, scheduler=scheduler, **guided, **asked)
    assert [len(forward) for forward in watched.forwards] == rows
    assert state.future.result(0).completed_steps == len(rows)


def test_every_forward_is_told() -> None:
    bench, follower = Bench(), Follower(2)
    bench.submit(adapted(FakeBackend()), listener=follower, num_inference_steps=3, scheduler="SASolverScheduler")
    bench.submit(adapted(FakeBackend()), num_inference_steps=3, scheduler="HeunDiscreteScheduler")
    bench.run()
    assert follower.steps == [(1, 3), (2, 3), (3, 3)]
    assert follower.previews_at == [2]
    assert bench.states[1].future.result(0).completed_steps == 5


def test_forward_that_is_repeated_in_parts_makes_the_same_pictures() -> None:
    asked: dict[str, Any] = {"scheduler": "DEISMultistepScheduler", "seeds": (1, 2, 3), "num_inference_steps": 6}
    state = alone(adapted(CrampedBackend(rows=2)), **asked)
    assert image_of(state) == image_of(alone(adapted(FakeBackend()), **asked))


def test_refusal_names_inference_steps_whose_forwards_fit() -> None:
    clock = FakeClock()
    timed = TimedBackend(clock, lambda rows: 1.0)
    bench, backend = Bench(clock=clock), adapted(timed)
    learned(bench, backend)
    asked: dict[str, Any] = {"budget": Budget(30.0, "fail"), "scheduler": "HeunDiscreteScheduler"}
    with pytest.raises(Overloaded) as raised:
        bench.submit(backend, num_inference_steps=20, **asked)
    assert raised.value.fits is not None and 10 < raised.value.fits.num_inference_steps < 16
    state = bench.submit(backend, num_inference_steps=raised.value.fits.num_inference_steps, **asked)
    bench.run()
    assert state.future.result(0).finish_reason == "completed"


def test_what_cannot_be_done_is_refused_at_the_door(backend: Backend) -> None:
    for strange, name in ((backend, "FlowMatchEulerDiscreteScheduler"), (FakeBackend(), "PNDMScheduler")):
        with pytest.raises(InvalidRequest, match=name) as raised:
            Bench().submit(strange, scheduler=name)
        assert raised.value.param == "scheduler"


def test_class_of_the_roms_files_is_what_a_request_gets_and_is_told_of(rom: Rom, backend: Backend) -> None:
    params, (notice,) = resolve(GenerationParams("a cat", seed=1), rom.manifest, defaults_of(backend))
    assert (params.scheduler, notice.code, notice.param) == ("PNDMScheduler", "scheduler_adapter", "scheduler")
    assert "PNDMScheduler" in notice.detail
