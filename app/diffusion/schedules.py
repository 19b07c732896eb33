"""Noise levels over training time, and the moments of it that a request visits.

Every function is checked against the diffusers scheduler of the same settings in `tests/oracle/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from app.errors import InvalidRequest, ManifestError

FloatArray = npt.NDArray[np.float64]
_SMALLEST_ALPHA_CUMPROD = 2.0**-24  # stands in for zero where a sigma must stay finite
_KARRAS_RHO = 7.0


@dataclass(frozen=True)
class NoiseSchedule:
    """A ROM's `scheduler_config.json`, in diffusers' words and with diffusers' defaults."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"  # linear, scaled_linear, squaredcos_cap_v2
    prediction_type: str = "epsilon"  # epsilon, v_prediction, sample
    timestep_spacing: str | None = None  # leading, trailing, linspace; None: the scheduler's own default
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    rescale_betas_zero_snr: bool = False
    use_karras_sigmas: bool = False
    original_inference_steps: int = 50  # of a consistency model: the steps it was distilled on
    timestep_scaling: float = 10.0  # of a consistency model: how fast c_skip falls with time

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """Raises ManifestError for a value that no function here knows."""
        if config.get("trained_betas") is not None:
            raise ManifestError("scheduler_config.json: trained_betas is not supported; give beta_schedule")
        allowed = {
            "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
            "prediction_type": ("epsilon", "v_prediction", "sample"),
            "timestep_spacing": ("leading", "trailing", "linspace"),
        }
        for name, values in allowed.items():
            if (value := config.get(name)) not in (None, *values):
                raise ManifestError(f"scheduler_config.json: {name} is {value!r}; known are {', '.join(values)}")
        return cls(**{f.name: config[f.name] for f in fields(cls) if config.get(f.name) is not None})


def make_betas(schedule: NoiseSchedule) -> torch.Tensor:
    """Variance added at each training step, float32 [num_train_timesteps]."""
    n, start, end = schedule.num_train_timesteps, schedule.beta_start, schedule.beta_end
    if schedule.beta_schedule == "linear":
        return torch.linspace(start, end, n, dtype=torch.float32)
    if schedule.beta_schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, n, dtype=torch.float32) ** 2
    # Nichol & Dhariwal 2021, equation 17
    alpha_bar = np.cos((np.linspace(0, 1, n + 1) + 0.008) / 1.008 * np.pi / 2) ** 2
    return torch.tensor(np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999), dtype=torch.float32)


def rescale_betas_zero_snr(betas: torch.Tensor) -> torch.Tensor:
    """Betas whose last step leaves pure noise (Lin et al. 2023, algorithm 1). [N] to [N]."""
    root = (1 - betas).cumprod(0).sqrt()
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    alphas_cumprod = root**2
    return 1 - torch.cat([alphas_cumprod[:1], alphas_cumprod[1:] / alphas_cumprod[:-1]])


def make_alphas_cumprod(schedule: NoiseSchedule, *, finite_sigmas: bool) -> FloatArray:
    """Share of signal variance left after each training step, [num_train_timesteps].

    `finite_sigmas` keeps the last one above zero, for schedulers that divide by it.
    """
    betas = make_betas(schedule)
    if schedule.rescale_betas_zero_snr:
        betas = rescale_betas_zero_snr(betas)
    alphas_cumprod = (1 - betas).cumprod(0).double().numpy()
    if schedule.rescale_betas_zero_snr and finite_sigmas:
        alphas_cumprod[-1] = _SMALLEST_ALPHA_CUMPROD
    return alphas_cumprod


def spaced_timesteps(schedule: NoiseSchedule, num_inference_steps: int, *, whole: bool = True) -> FloatArray:
    """Training steps to visit, descending, [num_inference_steps] (Lin et al. 2023, table 2)."""
    n = schedule.num_train_timesteps
    if schedule.timestep_spacing == "linspace":
        timesteps = np.linspace(0, n - 1, num_inference_steps)[::-1]
        return timesteps.round() if whole else timesteps.copy()
    if schedule.timestep_spacing == "trailing":
        return np.arange(n, 0, -n / num_inference_steps).round()[:num_inference_steps] - 1.0
    stride = n // num_inference_steps
    return _offset(schedule, (np.arange(num_inference_steps) * stride)[::-1])


def multistep_timesteps(schedule: NoiseSchedule, num_inference_steps: int) -> FloatArray:
    """As `spaced_timesteps`, for DPM-Solver, which spaces one step more and leaves out the last."""
    n = schedule.num_train_timesteps
    if schedule.timestep_spacing == "trailing":
        return spaced_timesteps(schedule, num_inference_steps)
    if schedule.timestep_spacing == "linspace":
        return np.linspace(0, n - 1, num_inference_steps + 1).round()[::-1][:-1].copy()
    stride = n // (num_inference_steps + 1)
    return _offset(schedule, (np.arange(num_inference_steps + 1) * stride)[::-1][:-1])


def _offset(schedule: NoiseSchedule, timesteps: npt.NDArray[np.int64]) -> FloatArray:
    """Shifted by the schedule's offset. Raises InvalidRequest where that leads beyond its end."""
    shifted = timesteps.astype(np.float64) + schedule.steps_offset
    if len(shifted) and shifted[0] >= schedule.num_train_timesteps:
        reason = f"{len(shifted)} are too many for this ROM, whose schedule begins with step {schedule.steps_offset}"
        raise InvalidRequest(reason, param="num_inference_steps")
    return shifted


def consistency_timesteps(schedule: NoiseSchedule, num_inference_steps: int) -> FloatArray:
    """Training steps to visit, descending, [num_inference_steps], out of those a consistency model was distilled on."""
    n = schedule.num_train_timesteps
    known = min(schedule.original_inference_steps, n)
    if num_inference_steps > known:
        raise InvalidRequest(f"must be 1 to {known} with lcm, not {num_inference_steps}", param="num_inference_steps")
    skipped = np.linspace(0, known, num_inference_steps, endpoint=False).astype(int)
    timesteps: FloatArray = (known - skipped) * (n // known) - 1.0
    return timesteps


def make_sigmas(alphas_cumprod: FloatArray) -> FloatArray:
    """Noise over signal at each training step, ascending, [num_train_timesteps]."""
    # single precision, as every public checkpoint was sampled
    levels = alphas_cumprod.astype(np.float32)
    sigmas: FloatArray = (((1 - levels) / levels) ** np.float32(0.5)).astype(np.float64)
    return sigmas


def get_sigmas_karras(sigma_min: float, sigma_max: float, num_inference_steps: int) -> FloatArray:
    """Sigmas evenly spaced in sigma^(1/7), descending (Karras et al. 2022, equation 5)."""
    ramp = np.linspace(0, 1, num_inference_steps)
    low, high = sigma_min ** (1 / _KARRAS_RHO), sigma_max ** (1 / _KARRAS_RHO)
    sigmas: FloatArray = (high + ramp * (low - high)) ** _KARRAS_RHO
    return sigmas


def sigmas_to_timesteps(sigmas: FloatArray, training_sigmas: FloatArray) -> FloatArray:
    """The (fractional) training step of each sigma, by interpolation in log sigma."""
    steps = np.arange(len(training_sigmas), dtype=np.float64)
    # logarithms in single precision, because DPM-Solver rounds the result
    levels = np.log(training_sigmas.astype(np.float32))
    return np.interp(np.log(np.maximum(sigmas, 1e-10)), levels, steps)
