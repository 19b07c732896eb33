"""Schedulers that are no tables: our engine with diffusers' own objects against diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.backends.schedulers import ADAPTED
from app.roms.catalog import read_rom
from tests.oracle import test_pipeline, test_tasks
from tests.oracle.test_pipeline import V_PREDICTION, assert_same_latents
from tests.oracle.test_tasks import PIPELINES, Pair, make_source
from tests.support.bench import latents_of
from tests.support.tiny_rom import STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

SD_15 = STABLE_DIFFUSION_SCHEDULE | {"skip_prk_steps": True}
ROMS = {
    "epsilon": TinyRom(scheduler_class="PNDMScheduler", scheduler_config=SD_15),
    "v_prediction": TinyRom("AutoencoderTiny", "PNDMScheduler", SD_15 | V_PREDICTION, seed=1),
    "inpainting": TinyRom(scheduler_class="PNDMScheduler", scheduler_config=SD_15, unet_channels=9, seed=2),
}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("EulerDiscreteScheduler", {"use_beta_sigmas": True}),
    ("EulerDiscreteScheduler", {"use_exponential_sigmas": True}),
    ("HeunDiscreteScheduler", {"use_exponential_sigmas": True}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}),
    ("DPMSolverSinglestepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("UniPCMultistepScheduler", {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    ("KDPM2DiscreteScheduler", {"use_karras_sigmas": True}),
    ("DDPMScheduler", {"variance_type": "fixed_large"}),
    ("PNDMScheduler", {"skip_prk_steps": False}),
]
REDRAWN = (
    "PNDMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "TCDScheduler",
)
TASKS = {"epsilon": PIPELINES, "v_prediction": PIPELINES, "inpainting": ("inpainting",)}
CASES = [(rom, task) for rom, tasks in TASKS.items() for task in tasks]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    pairs = {}
    for name, options in ROMS.items():
        directory = build_tiny_rom(tmp_path_factory.mktemp("adapter") / name, options)
        pairs[name] = Pair(directory, load_backend(read_rom(directory), LoadOptions("cpu", "float32")))
    yield pairs
    for pair in pairs.values():
        pair.backend.unload()


def text_to_image(directory: Path) -> Any:
    pipeline = StableDiffusionPipeline.from_pretrained(directory, safety_checker=None, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("rom", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", ADAPTED)
def test_latents_are_those_of_the_pipeline(pairs: dict[str, Pair], rom: str, scheduler: str) -> None:
    pair = pairs[rom]
    state, pipeline = test_pipeline.ours(pair.backend, scheduler, 5.0), text_to_image(pair.directory)
    assert_same_latents(latents_of(state), test_pipeline.theirs(pipeline, scheduler, 5.0, "latent"))


@pytest.mark.parametrize(("scheduler", "settings"), SETTINGS, ids=str)
def test_settings_of_the_roms_files_are_kept(tmp_path: Path, scheduler: str, settings: dict[str, Any]) -> None:
    options = TinyRom(scheduler_class=scheduler, scheduler_config=SD_15 | settings)
    directory = build_tiny_rom(tmp_path / "rom", options)
    backend = load_backend(read_rom(directory), LoadOptions("cpu", "float32"))
    assert (backend.info.default_scheduler, backend.info.unoffered_scheduler) == (scheduler, None)
    state = test_pipeline.ours(backend, scheduler, 5.0)
    assert_same_latents(latents_of(state), test_pipeline.theirs(text_to_image(directory), scheduler, 5.0, "latent"))


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scheduler", REDRAWN)
@pytest.mark.parametrize(("rom", "task"), CASES)
def test_redrawn_latents_are_those_of_the_pipeline(
    pairs: dict[str, Pair], rom: str, task: str, scheduler: str, strength: float
) -> None:
    pair, source = pairs[rom], make_source(task)
    state = test_tasks.ours(pair, task, source, scheduler, strength)
    assert_same_latents(latents_of(state), test_tasks.theirs(pair, task, source, scheduler, strength, "latent"))
