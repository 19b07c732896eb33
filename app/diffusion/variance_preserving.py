"""Tables of schedulers whose latents are sqrt(alpha) clean + sqrt(1 - alpha) noise, one step after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable

from app.diffusion.schedules import NoiseSchedule, consistency_timesteps, make_alphas_cumprod, spaced_timesteps
from app.diffusion.steps import CLEAN, NoiseLevel, StepTable, StepWeights
from app.errors import InvalidRequest

_SIGMA_DATA = 0.5  # standard deviation of clean images, as consistency models take it


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
        lines.append(StepWeights(1.0, *denoised_weights(schedule, alpha), keep, clean))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, levels_preserving(alphas[timesteps.astype(int)]))


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
        lines.append(StepWeights(1.0, *denoised_weights(schedule, alpha), keep, clean, noise=noise))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, levels_preserving(alphas[timesteps.astype(int)]))


def lcm(schedule: NoiseSchedule, num_inference_steps: int, begin: int) -> StepTable:
    """Multistep consistency sampling (Song et al. 2023, algorithm 1) in latents (Luo et al. 2023).

    The clean image is c_skip * latents + c_out * prediction: the latents themselves at time 0.
    """
    alphas = make_alphas_cumprod(schedule, finite_sigmas=False)
    timesteps = consistency_timesteps(schedule, num_inference_steps)[begin:]
    alphas_next = [*alphas[timesteps[1:].astype(int)].tolist(), 1.0]
    lines = []
    for timestep, alpha_next in zip(timesteps.tolist(), alphas_next, strict=True):
        scaled = timestep * schedule.timestep_scaling
        c_skip = _SIGMA_DATA**2 / (scaled**2 + _SIGMA_DATA**2)
        c_out = scaled / math.sqrt(scaled**2 + _SIGMA_DATA**2)
        from_latents, from_output = denoised_weights(schedule, float(alphas[int(timestep)]))
        denoised = c_skip + c_out * from_latents, c_out * from_output
        lines.append(StepWeights(1.0, *denoised, 0.0, math.sqrt(alpha_next), noise=math.sqrt(1 - alpha_next)))
    return StepTable(tuple(timesteps.tolist()), tuple(lines), 1.0, levels_preserving(alphas[timesteps.astype(int)]))


def denoised_weights(schedule: NoiseSchedule, alpha: float) -> tuple[float, float]:
    """Weights of latents and model output in denoised, where latents = sqrt(alpha) clean + sqrt(1 - alpha) noise."""
    if schedule.prediction_type == "sample":
        return 0.0, 1.0
    if schedule.prediction_type == "v_prediction":
        return math.sqrt(alpha), -math.sqrt(1 - alpha)
    if alpha == 0:
        raise InvalidRequest("cannot start from pure noise with a model that predicts epsilon", param="scheduler")
    return 1 / math.sqrt(alpha), -math.sqrt(1 - alpha) / math.sqrt(alpha)


def levels_preserving(alphas: Iterable[float]) -> tuple[NoiseLevel, ...]:
    """Of latents = sqrt(alpha) clean + sqrt(1 - alpha) noise."""
    return (*(NoiseLevel(math.sqrt(alpha), math.sqrt(1 - alpha)) for alpha in alphas), CLEAN)
