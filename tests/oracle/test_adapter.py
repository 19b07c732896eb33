"""Schedulers that are no tables: our engine with diffusers' own objects against diffusers' pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.core import ADAPTED_SCHEDULERS
from tests.oracle.test_tasks import make_source
from tests.support.pairs import Pair, Pairs
from tests.support.tiny_rom import STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

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
    ("PNDMScheduler", {"skip_prk_steps": True}),
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
CASES = [
    *((rom, task) for rom in ("sd", "sd v_prediction", "sdxl") for task in ("image-to-image", "inpainting")),
    ("sd inpainting", "inpainting"),
]


@pytest.mark.parametrize("rom", ["sd", "sd v_prediction", "sdxl"])
@pytest.mark.parametrize("scheduler", ADAPTED_SCHEDULERS)
def test_latents_are_those_of_the_pipeline(pairs: Pairs, rom: str, scheduler: str) -> None:
    pairs[rom].assert_same_latents(scheduler=scheduler)


@pytest.mark.parametrize(("scheduler", "settings"), SETTINGS, ids=str)
def test_settings_of_the_roms_files_are_kept(tmp_path: Path, scheduler: str, settings: dict[str, Any]) -> None:
    options = TinyRom(scheduler_class=scheduler, scheduler_config=STABLE_DIFFUSION_SCHEDULE | settings)
    pair = Pair(build_tiny_rom(tmp_path / "rom", options))
    assert (pair.backend.info.default_scheduler, pair.backend.info.unoffered_scheduler) == (scheduler, None)
    pair.assert_same_latents(scheduler=scheduler)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scheduler", REDRAWN)
@pytest.mark.parametrize(("rom", "task"), CASES)
def test_redrawn_latents_are_those_of_the_pipeline(
    pairs: Pairs, rom: str, task: str, scheduler: str, strength: float
) -> None:
    pairs[rom].assert_same_latents(task=task, source=make_source(task), scheduler=scheduler, strength=strength)
