"""One denoising step, for every scheduler, over rows that may each be anywhere in their own schedule.

All schedulers here are linear: the next latents are a weighted sum of the latents, the clean image the model sees in
them, the one it saw a step before, and fresh noise. So a scheduler is a table of weights, one line a step, and
`step_rows` is the one function that applies them. Rows of one batch may use different tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from app.diffusion.schedules import (
    NoiseSchedule,
    get_sigmas_karras,
    make_alphas_cumprod,
    make_sigmas,
    multistep_timesteps,
    sigmas_to_timesteps,
    spaced_timesteps,
)
from app.errors import InvalidRequest

_LINSPACE_UNLESS_TOLD = ("euler", "euler_ancestral", "dpmpp_2m")  # diffusers' defaults; the others are "leading"


class StepWeights(NamedTuple):
    """One line of a table. `denoised` is the clean image as the model sees it."""

    input_scale: float  # the model is given latents * input_scale
    denoised_from_latents: float  # denoised = latents * this
    denoised_from_output: float  # ... + model_output * this
    latents: float  # next latents = latents * this
    denoised: float  # ... + denoised * this
    previous_denoised: float = 0.0  # ... + the denoised of the step before * this
    noise: float = 0.0  # ... + unit Gaussian noise * this


@dataclass(frozen=True)
class StepTable:
    """A request's whole path through time."""

    timesteps: tuple[float, ...]  # what the model is told, one a step
    weights: tuple[StepWeights, ...]  # one a step
    init_noise_sigma: float  # standard deviation of the first latents

    def __len__(self) -> int:
        return len(self.timesteps)


def step_rows(
    latents: torch.Tensor,  # [B, C, h, w]
    model_output: torch.Tensor,  # [B, C, h, w]
    previous_denoised: torch.Tensor,  # [B, C, h, w]; any finite value where its weight is 0
    noise: torch.Tensor,  # [B, C, h, w]; any finite value where its weight is 0
    weights: list[StepWeights],  # B
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next latents and the denoised estimate of each row, both [B, C, h, w]."""
    columns = torch.tensor(weights, dtype=latents.dtype, device=latents.device)
    _, from_latents, from_output, keep, to_clean, to_previous, to_noise = columns.T[..., None, None, None]
    denoised = from_latents * latents + from_output * model_output
    following = keep * latents + to_clean * denoised + to_previous * previous_denoised + to_noise * noise
    return following, denoised


def make_table(scheduler: str, schedule: NoiseSchedule, num_inference_steps: int) -> StepTable:
    """Raises KeyError for a scheduler that is not in SCHEDULERS, InvalidRequest for one that would divide by zero."""
    if schedule.timestep_spacing is None:
        spacing = "linspace" if scheduler in _LINSPACE_UNLESS_TOLD else "leading"
        schedule = replace(schedule, timestep_spacing=spacing)
    return SCHEDULERS[scheduler](schedule, num_inference_steps)


def ddim(schedule: NoiseSchedule, num_inference_steps: int) -> StepTable:
    """Song et al. 2020, equation 12, with eta 0."""
    alphas = make_alphas_cumprod(schedule, finite_sigmas=False)
    timesteps = spaced_timesteps(schedule, num_inference_steps)
    stride = schedule.num_train_timesteps // num_inference_steps
    last = 1.0 if schedule.set_alpha_to_one else float(alphas[0])
    lines = []
    for timestep in timesteps.astype(int):
        alpha = float(alphas[timestep])
        alpha_next = float(alphas[timestep - stride]) if timestep >= stride else last
        keep = math.sqrt((1 - alpha_next) / (1 - alpha))
        clean = math.sqrt(alpha_next) - math.sqrt(alpha) * keep
        lines.append(StepWeights(1.0, *_denoised_variance_preserving(schedule, alpha), keep, clean))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0)


def ddpm(schedule: NoiseSchedule, num_inference_steps: int) -> StepTable:
    """Ho et al. 2020, equations 6 and 7 (the smaller variance)."""
    alphas = make_alphas_cumprod(schedule, finite_sigmas=False)
    timesteps = spaced_timesteps(schedule, num_inference_steps)
    lines = []
    for timestep, following in zip(timesteps.astype(int), [*timesteps[1:].astype(int), -1], strict=True):
        alpha = float(alphas[timestep])
        alpha_next = float(alphas[following]) if following >= 0 else 1.0
        step_alpha = alpha / alpha_next
        clean = math.sqrt(alpha_next) * (1 - step_alpha) / (1 - alpha)
        keep = math.sqrt(step_alpha) * (1 - alpha_next) / (1 - alpha)
        variance = max((1 - alpha_next) / (1 - alpha) * (1 - step_alpha), 1e-20)
        noise = math.sqrt(variance) if timestep > 0 else 0.0
        lines.append(StepWeights(1.0, *_denoised_variance_preserving(schedule, alpha), keep, clean, 0.0, noise))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0)


def euler(schedule: NoiseSchedule, num_inference_steps: int) -> StepTable:
    """Karras et al. 2022, algorithm 2 without churn."""
    timesteps, sigmas = _sigma_path(schedule, num_inference_steps)
    lines = []
    for sigma, following in pairwise(sigmas):
        keep = following / sigma
        lines.append(StepWeights(*_denoised_variance_exploding(schedule, sigma), keep, 1 - keep))
    return StepTable(timesteps, tuple(lines), _init_noise_sigma(schedule, sigmas))


def euler_ancestral(schedule: NoiseSchedule, num_inference_steps: int) -> StepTable:
    """Euler down to a lower sigma, then noise back up (k-diffusion's ancestral sampling, eta 1)."""
    # diffusers' class knows no Karras sigmas and leaves that key of a config aside
    timesteps, sigmas = _sigma_path(replace(schedule, use_karras_sigmas=False), num_inference_steps)
    lines = []
    for sigma, following in pairwise(sigmas):
        sigma_up = math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2)
        keep = (following / sigma) ** 2  # sigma_down / sigma
        lines.append(StepWeights(*_denoised_variance_exploding(schedule, sigma), keep, 1 - keep, 0.0, sigma_up))
    return StepTable(timesteps, tuple(lines), _init_noise_sigma(schedule, sigmas))


def dpmpp_2m(schedule: NoiseSchedule, num_inference_steps: int) -> StepTable:
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
        lines.append(StepWeights(1.0, *_denoised_variance_preserving(schedule, alpha**2), keep, clean, previous))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0)


SCHEDULERS: dict[str, Callable[[NoiseSchedule, int], StepTable]] = {
    "ddim": ddim,
    "ddpm": ddpm,
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "dpmpp_2m": dpmpp_2m,
}


def _denoised_variance_preserving(schedule: NoiseSchedule, alpha: float) -> tuple[float, float]:
    """Weights of latents and model output in denoised, where latents = sqrt(alpha) clean + sqrt(1 - alpha) noise."""
    if schedule.prediction_type == "sample":
        return 0.0, 1.0
    if schedule.prediction_type == "v_prediction":
        return math.sqrt(alpha), -math.sqrt(1 - alpha)
    if alpha == 0:
        raise InvalidRequest("cannot start from pure noise with a model that predicts epsilon", param="scheduler")
    return 1 / math.sqrt(alpha), -math.sqrt(1 - alpha) / math.sqrt(alpha)


def _denoised_variance_exploding(schedule: NoiseSchedule, sigma: float) -> tuple[float, float, float]:
    """Input scale, and weights of latents and model output in denoised, where latents = clean + sigma noise."""
    scale = 1 / math.sqrt(sigma**2 + 1)
    if schedule.prediction_type == "sample":
        return scale, 0.0, 1.0
    if schedule.prediction_type == "v_prediction":
        return scale, scale**2, -sigma * scale
    return scale, 1.0, -sigma


def _sigma_path(schedule: NoiseSchedule, num_inference_steps: int) -> tuple[tuple[float, ...], list[float]]:
    """Timesteps [T], and sigmas [T + 1] that end in 0."""
    training_sigmas = make_sigmas(make_alphas_cumprod(schedule, finite_sigmas=True))
    timesteps = spaced_timesteps(schedule, num_inference_steps, whole=False)
    sigmas = np.interp(timesteps, np.arange(len(training_sigmas)), training_sigmas)
    if schedule.use_karras_sigmas:
        sigmas = get_sigmas_karras(sigmas[-1], sigmas[0], num_inference_steps)
        timesteps = sigmas_to_timesteps(sigmas, training_sigmas)
    return tuple(timesteps.tolist()), [*sigmas.tolist(), 0.0]


def _init_noise_sigma(schedule: NoiseSchedule, sigmas: list[float]) -> float:
    highest = max(sigmas)
    return highest if schedule.timestep_spacing in ("linspace", "trailing") else math.sqrt(highest**2 + 1)
