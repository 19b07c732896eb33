"""A scheduler_config.json is read with diffusers' words, and wrong words are refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.diffusion.schedules import (
    FloatArray,
    NoiseSchedule,
    get_sigmas_karras,
    make_alphas_cumprod,
    make_betas,
    make_sigmas,
    multistep_timesteps,
    rescale_betas_zero_snr,
    sigmas_to_timesteps,
    spaced_timesteps,
)
from app.diffusion.tables import make_table
from app.errors import InvalidRequest, ManifestError

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
SD_15_CONFIG = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


def test_stable_diffusion_15_config_is_read() -> None:
    assert NoiseSchedule.from_config(SD_15_CONFIG) == NoiseSchedule(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False
    )


def test_unknown_keys_and_nulls_leave_the_defaults() -> None:
    assert NoiseSchedule.from_config({"skip_prk_steps": True, "beta_schedule": None}) == NoiseSchedule()


@pytest.mark.parametrize("field", ["beta_schedule", "prediction_type", "timestep_spacing"])
def test_unknown_value_is_refused_by_name(field: str) -> None:
    with pytest.raises(ManifestError) as raised:
        NoiseSchedule.from_config({field: "sideways"})
    assert field in raised.value.message
    assert "'sideways'" in raised.value.message


@pytest.mark.parametrize(
    ("scheduler", "spacing"),
    [
        ("ddim", "leading"),
        ("ddpm", "leading"),
        ("euler", "linspace"),
        ("euler_ancestral", "linspace"),
        ("dpmpp_2m", "linspace"),
        ("dpmpp_2m_sde", "linspace"),
        ("unipc", "linspace"),
        ("lcm", "leading"),
    ],
)
def test_spacing_left_out_is_the_schedulers_own(scheduler: str, spacing: str) -> None:
    told = NoiseSchedule.from_config({**SD_15_CONFIG, "timestep_spacing": spacing})
    assert make_table(scheduler, NoiseSchedule.from_config(SD_15_CONFIG), 20) == make_table(scheduler, told, 20)


@pytest.mark.parametrize("beta_schedule", BETA_SCHEDULES)
def test_zero_snr_ends_without_signal_and_starts_as_before(beta_schedule: str) -> None:
    betas = make_betas(NoiseSchedule(beta_schedule=beta_schedule))
    before, after = (1 - betas).cumprod(0), (1 - rescale_betas_zero_snr(betas)).cumprod(0)
    assert float(after[-1]) == 0.0
    assert float(after[0]) == pytest.approx(float(before[0]), abs=1e-6)
    assert bool((after.diff() < 0).all())


@pytest.mark.parametrize("beta_schedule", BETA_SCHEDULES)
def test_zero_snr_sigmas_are_finite_where_asked(beta_schedule: str) -> None:
    schedule = NoiseSchedule(beta_schedule=beta_schedule, rescale_betas_zero_snr=True)
    sigmas = make_sigmas(make_alphas_cumprod(schedule, finite_sigmas=True))
    assert np.isfinite(sigmas).all()
    assert (np.diff(sigmas[:-1]) > 0).all()
    assert sigmas[-1] == pytest.approx(4096)  # diffusers' stand-in for infinity, below its neighbour on linear betas


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ("leading", [751, 501, 251, 1]),
        ("trailing", [999, 749, 499, 249]),
        ("linspace", [999, 666, 333, 0]),
    ],
)
def test_spacings_of_four_steps(spacing: str, expected: list[int]) -> None:
    schedule = NoiseSchedule(timestep_spacing=spacing, steps_offset=1)
    assert spaced_timesteps(schedule, 4).tolist() == expected


def test_karras_sigmas_fall_from_the_highest_to_the_lowest() -> None:
    sigmas = get_sigmas_karras(0.03, 14.6, 10).tolist()
    assert sigmas[0] == pytest.approx(14.6)
    assert sigmas[-1] == pytest.approx(0.03)
    assert all(high > low for high, low in itertools.pairwise(sigmas))


def test_training_sigmas_are_their_own_timesteps() -> None:
    sigmas = make_sigmas(make_alphas_cumprod(NoiseSchedule(), finite_sigmas=True))
    np.testing.assert_allclose(sigmas_to_timesteps(sigmas, sigmas), np.arange(1000), atol=1e-3)


@pytest.mark.parametrize("space", [spaced_timesteps, multistep_timesteps])
def test_steps_that_an_offset_leads_beyond_the_end_are_refused(
    space: Callable[[NoiseSchedule, int], FloatArray],
) -> None:
    schedule = NoiseSchedule(timestep_spacing="leading", steps_offset=1, num_train_timesteps=100)
    assert space(schedule, 50).max() < 100
    with pytest.raises(InvalidRequest, match="too many") as raised:
        space(replace(schedule, steps_offset=40), 90)
    assert raised.value.param == "num_inference_steps"
