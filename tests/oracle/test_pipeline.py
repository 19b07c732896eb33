"""From prompt to pixels: our engine against diffusers' own StableDiffusionPipeline, on the same files and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from app.backends.base import Backend
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.engine.state import RequestState
from app.roms.catalog import read_rom
from app.roms.manifest import read_json
from tests.support.bench import alone, latents_of
from tests.support.oracles import ORACLES, make_oracle
from tests.support.tiny_rom import IMAGE_SIZE, STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

TOLERANCE = 1e-4  # of the largest latent
PIXEL_TOLERANCE = 1  # a level of 255, where rounding falls on the other side
STEPS = 6
SEED = 20
V_PREDICTION = {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}


@pytest.fixture(
    scope="module",
    params=[
        TinyRom(),
        TinyRom(autoencoder="AutoencoderTiny", scheduler_config=STABLE_DIFFUSION_SCHEDULE | V_PREDICTION, seed=1),
    ],
    ids=["kl-epsilon", "tiny-v_prediction"],
)
def rom(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_rom(tmp_path_factory.mktemp("pipeline") / "rom", request.param)


@pytest.fixture(scope="module")
def backend(rom: Path) -> Iterator[Backend]:
    backend = load_backend(read_rom(rom), LoadOptions("cpu", "float32"))
    yield backend
    backend.unload()


@pytest.fixture(scope="module")
def pipeline(rom: Path) -> Any:
    pipeline = StableDiffusionPipeline.from_pretrained(rom, safety_checker=None, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def theirs(pipeline: Any, scheduler: str, guidance_scale: float, output_type: str, **asked: Any) -> Any:
    rom = Path(pipeline.name_or_path)
    pipeline.scheduler = make_oracle(scheduler, read_json(rom / "scheduler" / "scheduler_config.json"))
    arguments = {"prompt": "the cat", "negative_prompt": "a dog", "height": IMAGE_SIZE, "width": IMAGE_SIZE} | asked
    return pipeline(
        guidance_scale=guidance_scale,
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type=output_type,
        **arguments,
    ).images


def ours(backend: Backend, scheduler: str, guidance_scale: float, **asked: Any) -> RequestState:
    sizes = {"height": IMAGE_SIZE, "width": IMAGE_SIZE, "prompt": "the cat", "negative_prompt": "a dog"}
    make = partial(alone, backend, scheduler=scheduler, guidance_scale=guidance_scale, seeds=(SEED,))
    return make(num_inference_steps=STEPS, **(sizes | asked))


def assert_same_latents(mine: torch.Tensor, oracle: torch.Tensor) -> None:
    error, scale = float((mine - oracle).abs().max()), float(oracle.abs().max())
    assert error <= TOLERANCE * scale, f"error {error:.2e}, scale {scale:.2e}"


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("scheduler", ORACLES)
def test_latents_and_pixels_are_those_of_the_pipeline(
    backend: Backend, pipeline: Any, scheduler: str, guidance_scale: float
) -> None:
    state = ours(backend, scheduler, guidance_scale)
    assert_same_latents(latents_of(state), theirs(pipeline, scheduler, guidance_scale, "latent"))
    picture = np.asarray(theirs(pipeline, scheduler, guidance_scale, "pil")[0]).astype(int)
    assert np.abs(state.future.result(0).images[0].astype(int) - picture).max() <= PIXEL_TOLERANCE


def test_other_shapes_are_those_of_the_pipeline(backend: Backend, pipeline: Any) -> None:
    asked = {"height": 24, "width": 32}
    state = ours(backend, "euler", 5.0, **asked)
    assert_same_latents(latents_of(state), theirs(pipeline, "euler", 5.0, "latent", **asked))


def test_prompt_that_is_too_long_is_cut_where_the_pipeline_cuts_it(backend: Backend, pipeline: Any) -> None:
    asked = {"prompt": "a cat and the sea at night " * 8, "negative_prompt": ""}
    state = ours(backend, "ddim", 5.0, **asked)
    assert_same_latents(latents_of(state), theirs(pipeline, "ddim", 5.0, "latent", **asked))
    assert [notice.param for notice in state.future.result(0).notices] == ["prompt"]


def test_oracle_can_tell_two_seeds_apart(backend: Backend, pipeline: Any) -> None:
    state = ours(backend, "ddim", 5.0, seeds=(SEED + 1,))
    with pytest.raises(AssertionError):
        assert_same_latents(latents_of(state), theirs(pipeline, "ddim", 5.0, "latent"))
