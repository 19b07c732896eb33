"""Tables of schedulers whose latents are clean + sigma noise, one step after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from app.diffusion.schedules import (
    NoiseSchedule,
    get_sigmas_karras,
    make_alphas_cumprod,
    make_sigmas,
    sigmas_to_timesteps,
    spaced_timesteps,
)
from app.diffusion.steps import NoiseLevel, StepTable, StepWeights


def euler(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Karras et al. 2022, algorithm 2 without churn."""
    timesteps, sigmas, init_noise_sigma = _sigma_path(schedule, num_inference_steps, begin)
    lines = []
    for sigma, following in pairwise(sigmas):
        keep = following / sigma
        lines.append(StepWeights(*_input_weights(schedule, sigma), keep, 1 - keep))
    return StepTable(timesteps, tuple(lines), init_noise_sigma, _levels_exploding(sigmas))


def heun(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Karras et al. 2022, algorithm 2 without churn: every step but the last takes two forwards.

    The first goes to the next sigma as `euler` does. The second is evaluated there, and mends what the first did by
    half of how much the clean image has changed.
    """
    # diffusers' class knows no rescaled betas and leaves that key of a config aside
    schedule = replace(schedule, rescale_betas_zero_snr=False)
    timesteps, sigmas, init_noise_sigma = _sigma_path(schedule, num_inference_steps, begin)
    lines = []
    for sigma, following in pairwise(sigmas):
        keep = following / sigma
        lines.append(StepWeights(*_input_weights(schedule, sigma), keep, 1 - keep))
        if following:
            change = (1 / keep - 1) / 2
            lines.append(StepWeights(*_input_weights(schedule, following), 1.0, change, -change))
    levels = _levels_exploding([*_twice(sigmas[:-1]), sigmas[-1]])
    return StepTable(tuple(_twice(timesteps)), tuple(lines), init_noise_sigma, levels, stages=2)


def euler_ancestral(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Euler down to a lower sigma, then noise back up (k-diffusion's ancestral sampling, eta 1)."""
    # diffusers' class knows no Karras sigmas and leaves that key of a config aside
    schedule = replace(schedule, use_karras_sigmas=False)
    timesteps, sigmas, init_noise_sigma = _sigma_path(schedule, num_inference_steps, begin)
    lines = []
    for sigma, following in pairwise(sigmas):
        sigma_up = math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2)
        keep = (following / sigma) ** 2  # sigma_down / sigma
        lines.append(StepWeights(*_input_weights(schedule, sigma), keep, 1 - keep, noise=sigma_up))
    return StepTable(timesteps, tuple(lines), init_noise_sigma, _levels_exploding(sigmas))


def _input_weights(schedule: NoiseSchedule, sigma: float) -> tuple[float, float, float]:
    """Input scale, and weights of latents and model output in denoised, where latents = clean + sigma noise."""
    scale = 1 / math.sqrt(sigma**2 + 1)
    if schedule.prediction_type == "sample":
        return scale, 0.0, 1.0
    if schedule.prediction_type == "v_prediction":
        return scale, scale**2, -sigma * scale
    return scale, 1.0, -sigma


def _sigma_path(
    schedule: NoiseSchedule, num_inference_steps: int, begin: int
) -> tuple[tuple[float, ...], list[float], float]:
    """Timesteps [T], sigmas [T + 1] that end in 0, and the standard deviation of the first latents."""
    training_sigmas = make_sigmas(make_alphas_cumprod(schedule, finite_sigmas=True))
    timesteps = spaced_timesteps(schedule, num_inference_steps, whole=False)
    sigmas = np.interp(timesteps, np.arange(len(training_sigmas)), training_sigmas)
    if schedule.use_karras_sigmas:
        sigmas = get_sigmas_karras(sigmas[-1], sigmas[0], num_inference_steps)
        timesteps = sigmas_to_timesteps(sigmas, training_sigmas)
    highest = float(max(sigmas))
    is_whole = schedule.timestep_spacing in ("linspace", "trailing")
    init_noise_sigma = highest if is_whole else math.sqrt(highest**2 + 1)
    return tuple(timesteps[begin:].tolist()), [*sigmas[begin:].tolist(), 0.0], init_noise_sigma


def _twice(values: Sequence[float]) -> list[float]:
    """All but the first twice over: each is where one step ends and the next begins."""
    return [*values[:1], *(value for value in values[1:] for _ in range(2))]


def _levels_exploding(sigmas: list[float]) -> tuple[NoiseLevel, ...]:
    """Of latents = clean + sigma noise; the last sigma is 0."""
    return tuple(NoiseLevel(1.0, sigma) for sigma in sigmas)
