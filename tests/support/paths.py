"""Two free-running paths through time, ours and diffusers', and how near they must stay.

Both start from the same noise and the same `scheduler_config.json`, and each feeds its own latents to a fixed nonlinear
model, so a wrong weight at one step would grow over the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from app.diffusion.latents import draw_noise, make_generator
from app.diffusion.schedules import NoiseSchedule
from app.diffusion.steps import step_rows
from app.diffusion.tables import make_table
from tests.support.oracles import ORACLES

TOLERANCE = 1e-4  # of the standard deviation of the oracle's tensor at that step
TIMESTEP_TOLERANCE = 1e-4  # in training steps; diffusers computes the fractional ones in single precision

# Where diffusers' own single precision is coarser than TOLERANCE: its Euler schedulers step from latents of size sigma
# to `latents + (latents - denoised) / sigma * (sigma_next - sigma)`, two numbers of size sigma that all but cancel.
# From a first sigma of 4096 (zero terminal SNR) or 20291 (cosine betas) to a next one up to thousands of times smaller
# that leaves an error of float32's epsilon times the old latents (1.4 times at most in this grid), which our
# `keep * latents + (1 - keep) * denoised` does not make (`test_vast_first_step_is_nearer_the_truth`). That one step is
# allowed it, and the paths go on from the same latents.
# Heun's second stage divides by the lower sigma what the first one left, and multiplies it with the higher one, in
# their arithmetic as in ours: half their ratio times that error, at every step from such a sigma. Later steps stretch
# what is left of it in the same way, so there the paths go on from the same latents after every step.
VAST_SIGMA = 1000.0
ROUNDING = 2 * torch.finfo(torch.float32).eps

SHAPE = (4, 8, 8)
SEEDS = (11, 12)
STOCHASTIC = ("ddpm", "euler_ancestral", "dpmpp_2m_sde", "lcm")


@dataclass(frozen=True)
class Moment:
    """What one step had and made, of either path."""

    timestep: float
    model_input: torch.Tensor
    denoised: torch.Tensor
    latents: torch.Tensor


class OurPath:
    def __init__(self, scheduler: str, config: dict[str, Any], num_inference_steps: int) -> None:
        self.table = make_table(scheduler, NoiseSchedule.from_config(config), num_inference_steps)
        self.generators, self.noise = first_noise()
        self.latents = self.noise * self.table.init_noise_sigma
        self.denoised = self.previous_denoised = torch.zeros_like(self.latents)

    def step(self, index: int) -> Moment:
        timestep, weights = self.table.timesteps[index], self.table.weights[index]
        model_input = self.latents * weights.input_scale
        output = model(model_input, timestep)
        if weights.noise:
            self.noise = torch.stack([draw_noise(SHAPE, generator) for generator in self.generators])
        seen = self.denoised, self.previous_denoised
        self.previous_denoised = self.denoised
        self.latents, self.denoised = step_rows(self.latents, output, *seen, self.noise, [weights] * len(SEEDS))
        return Moment(timestep, model_input, self.denoised, self.latents)


class OraclePath:
    def __init__(self, scheduler: str, config: dict[str, Any], num_inference_steps: int) -> None:
        self.scheduler = ORACLES[scheduler](config)
        self.scheduler.set_timesteps(num_inference_steps)
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(0)  # else a timestep that Karras sigmas repeat makes it start at the second
        self.generators, self.noise = first_noise()
        self.order = self.scheduler.order
        self.is_stochastic = scheduler in STOCHASTIC
        self.prediction_type = self.scheduler.config.prediction_type
        self.init_noise_sigma = float(self.scheduler.init_noise_sigma)
        self.latents = self.noise * self.init_noise_sigma

    def step(self, index: int) -> Moment:
        timestep = self.scheduler.timesteps[index]
        model_input = self.scheduler.scale_model_input(self.latents, timestep)
        output = model(model_input, float(timestep))
        random = {"generator": self.generators} if self.is_stochastic else {}
        step = self.scheduler.step(output, timestep, self.latents, **random)
        self.latents = step.prev_sample
        # DPM-Solver and UniPC keep their estimate to themselves
        told = [step[name] for name in ("pred_original_sample", "denoised") if name in step]
        denoised = told[0] if told else self.scheduler.model_outputs[-1]
        return Moment(float(timestep), model_input, denoised, self.latents)


def assert_same(ours: torch.Tensor, oracle: torch.Tensor, what: str, rounding: float = 0.0) -> None:
    error, allowed = float((ours - oracle).abs().max()), TOLERANCE * float(oracle.std()) + rounding
    assert error <= allowed, f"{what}: error {error:.2e}, allowed {allowed:.2e}"


def rounding_at(oracle: OraclePath, index: int) -> float:
    """What single precision may lose in the latents at this step; 0 but for vast ones."""
    if oracle.order == 2:
        first = index - index % 2
        sigma, following = (float(oracle.scheduler.sigmas[place]) for place in (first, first + 1))
        largest = sigma * float(oracle.noise.abs().max())
        stretch = sigma / following / 2 if index % 2 else float(oracle.prediction_type != "epsilon")
        return ROUNDING * largest * stretch if sigma > VAST_SIGMA else 0.0
    cancels = index == 0 and oracle.init_noise_sigma > VAST_SIGMA and oracle.prediction_type != "epsilon"
    return ROUNDING * float(oracle.latents.abs().max()) if cancels else 0.0


def assert_same_path(scheduler: str, config: dict[str, Any], num_inference_steps: int) -> None:
    ours = OurPath(scheduler, config, num_inference_steps)
    oracle = OraclePath(scheduler, config, num_inference_steps)
    assert ours.table.timesteps == pytest.approx(oracle.scheduler.timesteps.tolist(), abs=TIMESTEP_TOLERANCE)
    for index in range(len(ours.table)):
        rounding = rounding_at(oracle, index)
        mine, theirs = ours.step(index), oracle.step(index)
        assert_same(mine.model_input, theirs.model_input, f"model input {index}")
        assert_same(mine.denoised, theirs.denoised, f"denoised {index}")
        assert_same(mine.latents, theirs.latents, f"latents {index}", rounding)
        if rounding or (oracle.order == 2 and oracle.init_noise_sigma > VAST_SIGMA):
            ours.latents = oracle.latents


def model(model_input: torch.Tensor, timestep: float) -> torch.Tensor:
    """Deterministic, nonlinear, different at every timestep, mixing channels and neighbours."""
    mixed = 1.3 * model_input + 0.7 * model_input.roll(1, dims=1) - 0.5 * model_input.roll(1, dims=3)
    return torch.tanh(mixed) + 0.3 * torch.sin(2 * model_input + timestep / 173)


def first_noise() -> tuple[list[torch.Generator], torch.Tensor]:
    generators = [make_generator(seed) for seed in SEEDS]
    return generators, torch.stack([draw_noise(SHAPE, generator) for generator in generators])
