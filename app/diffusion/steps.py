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
    FloatArray,
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


class NoiseLevel(NamedTuple):
    """latents = clean * signal + unit Gaussian noise * noise"""

    signal: float
    noise: float


CLEAN = NoiseLevel(1.0, 0.0)


@dataclass(frozen=True)
class StepTable:
    """A request's whole path through time."""

    timesteps: tuple[float, ...]  # what the model is told, one a step
    weights: tuple[StepWeights, ...]  # one a step
    init_noise_sigma: float  # standard deviation of the first latents
    levels: tuple[NoiseLevel, ...]  # of the latents before each step, and after the last

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


def make_table(scheduler: str, schedule: NoiseSchedule, num_inference_steps: int, begin: int = 0) -> StepTable:
    """The steps from number `begin` on, as if none had been before.

    Raises KeyError for a scheduler that is not in SCHEDULERS, InvalidRequest for one that would divide by zero.
    """
    if schedule.timestep_spacing is None:
        spacing = "linspace" if scheduler in _LINSPACE_UNLESS_TOLD else "leading"
        schedule = replace(schedule, timestep_spacing=spacing)
    return SCHEDULERS[scheduler](schedule, num_inference_steps, begin)


def ddim(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Song et al. 2020, equation 12, with eta 0."""
    alphas = make_alphas_cumprod(schedule, finite_sigmas=False)
    timesteps = spaced_timesteps(schedule, num_inference_steps)[begin:]
    stride = schedule.num_train_timesteps // num_inference_steps
    last = 1.0 if schedule.set_alpha_to_one else float(alphas[0])
    lines = []
    for timestep in timesteps.astype(int):
        alpha = float(alphas[timestep])
        alpha_next = float(alphas[timestep - stride]) if timestep >= stride else last
        keep = math.sqrt((1 - alpha_next) / (1 - alpha))
        clean = math.sqrt(alpha_next) - math.sqrt(alpha) * keep
        lines.append(StepWeights(1.0, *_denoised_variance_preserving(schedule, alpha), keep, clean))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, _levels_preserving(alphas[timesteps.astype(int)]))


def ddpm(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Ho et al. 2020, equations 6 and 7 (the smaller variance)."""
    alphas = make_alphas_cumprod(schedule, finite_sigmas=False)
    timesteps = spaced_timesteps(schedule, num_inference_steps)[begin:]
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
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, _levels_preserving(alphas[timesteps.astype(int)]))


def euler(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Karras et al. 2022, algorithm 2 without churn."""
    timesteps, sigmas, init_noise_sigma = _sigma_path(schedule, num_inference_steps, begin)
    lines = []
    for sigma, following in pairwise(sigmas):
        keep = following / sigma
        lines.append(StepWeights(*_denoised_variance_exploding(schedule, sigma), keep, 1 - keep))
    return StepTable(timesteps, tuple(lines), init_noise_sigma, _levels_exploding(sigmas))


def euler_ancestral(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Euler down to a lower sigma, then noise back up (k-diffusion's ancestral sampling, eta 1)."""
    # diffusers' class knows no Karras sigmas and leaves that key of a config aside
    schedule = replace(schedule, use_karras_sigmas=False)
    timesteps, sigmas, init_noise_sigma = _sigma_path(schedule, num_inference_steps, begin)
    lines = []
    for sigma, following in pairwise(sigmas):
        sigma_up = math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2)
        keep = (following / sigma) ** 2  # sigma_down / sigma
        lines.append(StepWeights(*_denoised_variance_exploding(schedule, sigma), keep, 1 - keep, 0.0, sigma_up))
    return StepTable(timesteps, tuple(lines), init_noise_sigma, _levels_exploding(sigmas))


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
        lines.append(StepWeights(1.0, *_denoised_variance_preserving(schedule, alpha**2), keep, clean, previous))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, _levels_preserving(1 / (sigmas**2 + 1)))


SCHEDULERS: dict[str, Callable[[NoiseSchedule, int, int], StepTable]] = {
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


def _levels_preserving(alphas: FloatArray) -> tuple[NoiseLevel, ...]:
    """Of latents = sqrt(alpha) clean + sqrt(1 - alpha) noise."""
    return (*(NoiseLevel(math.sqrt(alpha), math.sqrt(1 - alpha)) for alpha in alphas.tolist()), CLEAN)


def _levels_exploding(sigmas: list[float]) -> tuple[NoiseLevel, ...]:
    """Of latents = clean + sigma noise; the last sigma is 0."""
    return tuple(NoiseLevel(1.0, sigma) for sigma in sigmas)
