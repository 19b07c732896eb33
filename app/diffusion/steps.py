"""One denoising step, for every scheduler, over rows that may each be anywhere in their own schedule.

All schedulers here are linear: the next latents are a weighted sum of the latents, the clean image the model sees in
them, those it saw one and two steps before, and fresh noise. So a scheduler is a table of weights, one line a step, and
`step_rows` is the one function that applies them. Rows of one batch may use different tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch


class StepWeights(NamedTuple):
    """One line of a table. `denoised` is the clean image as the model sees it."""

    input_scale: float  # the model is given latents * input_scale
    denoised_from_latents: float  # denoised = latents * this
    denoised_from_output: float  # ... + model_output * this
    latents: float  # next latents = latents * this
    denoised: float  # ... + denoised * this
    previous_denoised: float = 0.0  # ... + the denoised of the step before * this
    earlier_denoised: float = 0.0  # ... + the denoised of two steps before * this
    noise: float = 0.0  # ... + unit Gaussian noise * this


class NoiseLevel(NamedTuple):
    """latents = clean * signal + unit Gaussian noise * noise"""

    signal: float
    noise: float


CLEAN = NoiseLevel(1.0, 0.0)


@dataclass(frozen=True)
class StepTable:
    """A request's whole path through time. Each of its steps is one forward of the model."""

    timesteps: tuple[float, ...]  # what the model is told, one a step
    weights: tuple[StepWeights, ...]  # one a step
    init_noise_sigma: float  # standard deviation of the first latents
    levels: tuple[NoiseLevel, ...]  # of the latents before each step, and after the last
    stages: int = 1  # steps that an inference step takes, but for a few at the ends

    def __len__(self) -> int:
        return len(self.timesteps)

    def input_scale(self, step: int) -> float:
        """The model is given latents * this."""
        return self.weights[step].input_scale


def step_rows(
    latents: torch.Tensor,  # [B, C, h, w]
    model_output: torch.Tensor,  # [B, C, h, w]
    previous_denoised: torch.Tensor,  # [B, C, h, w]; any finite value where its weight is 0
    earlier_denoised: torch.Tensor,  # [B, C, h, w]; any finite value where its weight is 0
    noise: torch.Tensor,  # [B, C, h, w]; any finite value where its weight is 0
    weights: list[StepWeights],  # B
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next latents and the denoised estimate of each row, both [B, C, h, w]."""
    columns = torch.tensor(weights, dtype=latents.dtype, device=latents.device)
    _, from_latents, from_output, keep, to_clean, to_previous, to_earlier, to_noise = columns.T[..., None, None, None]
    denoised = from_latents * latents + from_output * model_output
    following = keep * latents + to_clean * denoised + to_noise * noise
    following = following + to_previous * previous_denoised + to_earlier * earlier_denoised
    return following, denoised
