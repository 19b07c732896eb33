"""Tables of schedulers that look back: how the clean image has changed tells how it will change.

All of them here solve the same equation from one noise level to the next. Time is lambda, the logarithm of signal over
noise; `h` is a step in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from app.diffusion.schedules import (
    FloatArray,
    NoiseSchedule,
    get_sigmas_karras,
    make_alphas_cumprod,
    make_sigmas,
    multistep_timesteps,
    sigmas_to_timesteps,
)
from app.diffusion.steps import StepTable, StepWeights
from app.diffusion.variance_preserving import denoised_weights, levels_preserving
from app.errors import InvalidRequest


def dpmpp_2m(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Lu et al. 2022, DPM-Solver++ algorithm 2 (midpoint), first order on the first and the last step."""
    timesteps, sigmas = _path(schedule, num_inference_steps, begin, _rounding_of_dpm_solver(schedule))
    lines = []
    for sigma, following, growth in zip(sigmas, sigmas[1:], _growths(sigmas), strict=False):
        keep, clean = _first_order(sigma, following)
        slope = 0.5 * clean * growth
        denoised = denoised_weights(schedule, _alpha(sigma))
        lines.append(StepWeights(1.0, *denoised, keep, clean + slope, -slope))
    return StepTable(timesteps, tuple(lines), 1.0, levels_preserving(map(_alpha, sigmas[:-1])))


def dpmpp_2m_sde(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Lu et al. 2022, SDE-DPM-Solver++(2M): as `dpmpp_2m`, but each step trades old noise for new."""
    timesteps, sigmas = _path(schedule, num_inference_steps, begin, _rounding_of_dpm_solver(schedule))
    lines = []
    for sigma, following, growth in zip(sigmas, sigmas[1:], _growths(sigmas), strict=False):
        keep, _ = _first_order(sigma, following)
        ratio, signal = following / sigma, math.sqrt(_alpha(following))  # the ratio is e^-h
        clean = signal * (1 - ratio**2)
        slope = 0.5 * clean * growth
        # zero terminal SNR can put the last training step below the one before, and 1 - ratio^2 below zero
        noise = following * signal * math.sqrt(max(0.0, 1 - ratio**2))
        denoised = denoised_weights(schedule, _alpha(sigma))
        lines.append(StepWeights(1.0, *denoised, keep * ratio, clean + slope, -slope, noise=noise))
    return StepTable(timesteps, tuple(lines), 1.0, levels_preserving(map(_alpha, sigmas[:-1])))


def unipc(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Zhao et al. 2023, UniPC of order 2 with B(h) = e^-h - 1 ("bh2"), on the clean image; first order at both ends.

    Its predictor UniP is `dpmpp_2m`. Its corrector UniC repeats the step before, now that the clean image at its end is
    known. What it changes is a sum of clean images, so it is added to the latents as they are.
    """
    timesteps, sigmas = _path(schedule, num_inference_steps, begin, np.round)
    growths = _growths(sigmas)
    lines: list[StepWeights] = []
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        now, before = _correction(sigmas[index - 1], sigma, growths[index - 1]) if index else (0.0, 0.0)
        keep, clean = _first_order(sigma, following)
        slope = 0.5 * clean * growths[index]
        to_clean, to_previous = clean + slope + keep * now, -slope + keep * (before - now)
        denoised = denoised_weights(schedule, _alpha(sigma))
        lines.append(StepWeights(1.0, *denoised, keep, to_clean, to_previous, -keep * before))
    return StepTable(timesteps, tuple(lines), 1.0, levels_preserving(map(_alpha, sigmas[:-1])))


def _correction(before: float, sigma: float, growth: float) -> tuple[float, float]:
    """What UniC adds to the latents at `sigma`, which UniP reached from the sigma `before` with this `growth`.

    The weights of the change of the clean image over that step, and of its change over the step before it.
    """
    _, clean = _first_order(before, sigma)
    if growth == 0:
        return 0.5 * clean, 0.0
    h = math.log(before / sigma)
    phi_1 = math.expm1(-h)
    phi_2 = -phi_1 / h - 1
    phi_3 = -phi_2 / h - 0.5
    target, target_slope = phi_2 / phi_1, 2 * phi_3 / phi_1
    older = (target - target_slope) / (1 + 1 / growth)  # the two conditions on the weights, solved
    return clean * (target - older), clean * (older - 0.5) * growth


def _first_order(sigma: float, following: float) -> tuple[float, float]:
    """Weights of latents and clean image in a step from sigma to the following one, as if the image stayed (DDIM)."""
    alpha, alpha_next = math.sqrt(_alpha(sigma)), math.sqrt(_alpha(following))
    return (following * alpha_next) / (sigma * alpha), alpha_next * (1 - following / sigma)


def _growths(sigmas: list[float]) -> list[float]:
    """Each step's h over that of the step before, [T]; 0, for none, on the first and the last. Of sigmas [T + 1]."""
    steps = [math.log(sigma / following) for sigma, following in pairwise(sigmas[:-1])]
    between = [h / h_before for h_before, h in pairwise(steps)]
    return [0.0, *between, 0.0][: len(sigmas) - 1]


def _alpha(sigma: float) -> float:
    """Share of signal variance."""
    return 1 / (sigma**2 + 1)


def _path(
    schedule: NoiseSchedule, num_inference_steps: int, begin: int, whole: Callable[[FloatArray], FloatArray]
) -> tuple[tuple[float, ...], list[float]]:
    """Timesteps [T], and sigmas [T + 1] that end in 0. `whole` makes the timesteps of Karras sigmas whole."""
    training_sigmas = make_sigmas(make_alphas_cumprod(schedule, finite_sigmas=True))
    timesteps = multistep_timesteps(schedule, num_inference_steps)
    if schedule.use_karras_sigmas:
        sigmas = get_sigmas_karras(training_sigmas[0], training_sigmas[-1], num_inference_steps)
        timesteps = whole(sigmas_to_timesteps(sigmas, training_sigmas))
    else:
        sigmas = training_sigmas[timesteps.astype(int)]
    if len(np.unique(sigmas)) < num_inference_steps:
        reason = f"{num_inference_steps} are too many for this scheduler: two would be at the same noise level"
        raise InvalidRequest(reason, param="num_inference_steps")
    return tuple(timesteps[begin:].tolist()), [*sigmas[begin:].tolist(), 0.0]


def _rounding_of_dpm_solver(schedule: NoiseSchedule) -> Callable[[FloatArray], FloatArray]:
    """Diffusers rounds, but truncates the timesteps of the cosine schedule."""
    return np.trunc if schedule.beta_schedule == "squaredcos_cap_v2" else np.round
