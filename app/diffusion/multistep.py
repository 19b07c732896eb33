"""Tables of schedulers that look back: how the clean image has changed tells how it will change."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from app.diffusion.schedules import (
    NoiseSchedule,
    get_sigmas_karras,
    make_alphas_cumprod,
    make_sigmas,
    multistep_timesteps,
    sigmas_to_timesteps,
)
from app.diffusion.steps import StepTable, StepWeights
from app.diffusion.variance_preserving import denoised_weights, levels_preserving


def dpmpp_2m(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Lu et al. 2022, DPM-Solver++ algorithm 2 (midpoint), first order on the first and the last step."""
    training_sigmas = make_sigmas(make_alphas_cumprod(schedule, finite_sigmas=True))
    timesteps = multistep_timesteps(schedule, num_inference_steps)
    if schedule.use_karras_sigmas:
        sigmas = get_sigmas_karras(training_sigmas[0], training_sigmas[-1], num_inference_steps)
        timesteps = sigmas_to_timesteps(sigmas, training_sigmas)
        # whole steps; diffusers rounds them, but truncates those of the cosine schedule
        timesteps = np.trunc(timesteps) if schedule.beta_schedule == "squaredcos_cap_v2" else timesteps.round()
    else:
        sigmas = training_sigmas[timesteps.astype(int)]
    timesteps, sigmas = timesteps[begin:], sigmas[begin:]
    lines: list[StepWeights] = []
    log_snr = -np.log(sigmas)  # lambda in the paper
    for index, (sigma, following) in enumerate(pairwise([*sigmas.tolist(), 0.0])):
        alpha, alpha_next = 1 / math.sqrt(sigma**2 + 1), 1 / math.sqrt(following**2 + 1)
        keep = (following * alpha_next) / (sigma * alpha)
        clean, previous = alpha_next * (1 - following / sigma), 0.0
        if 0 < index < len(sigmas) - 1:
            h, h_previous = log_snr[index + 1] - log_snr[index], log_snr[index] - log_snr[index - 1]
            previous = -0.5 * clean * float(h / h_previous)
            clean -= previous
        lines.append(StepWeights(1.0, *denoised_weights(schedule, alpha**2), keep, clean, previous))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, levels_preserving(1 / (sigmas**2 + 1)))
