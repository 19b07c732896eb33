"""A U-Net learns to take few steps without guidance: progressive distillation of a guided teacher, round by round.

Why not consistency distillation (Luo et al. 2023): it learns from its own moving average, so what is right at low noise
has to find its way up through tens of timesteps, which takes many updates; and its sampler adds noise at every step.
Here every target is a regression on a frozen teacher at a few noise levels, all that an hour on two cores has time for,
and the result follows the teacher's own path from the same noise, sampled by `ddim` on the same schedule.

In the first round the teacher is guided (Meng et al. 2023); later ones have its students for teachers, which need one
row instead of two. A round of n steps trains at 2 n moments, so that a request of twice the steps finds a model that
knows each of its timesteps, and so that the next round can halve its steps near the clean end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from app.diffusion.guidance import apply_guidance
from training.denoising import NOISIER, Batch, Conditions, draw_timesteps
from training.diffusion import DiffusionConfig, denoising_of, new_scheduler
from training.domains.domain import Domain
from training.loop import Draw, LoopConfig, autocast, device, train
from training.progressive import Angles, Predict, progressive_target, turn


@dataclass(frozen=True)
class Moments:
    """Where on the way from clean (0) to noise (1) the steps to be learnt begin and end, [B] each."""

    starts: torch.Tensor
    ends: torch.Tensor

    @classmethod
    def draw(cls, steps: int, draw: Draw) -> Moments:
        """Steps of length 1 / `steps`, or to the clean end, from any multiple of half of that."""
        starts = (draw_timesteps(draw.batch_size, 2 * steps, NOISIER, draw) + 1) / (2 * steps)
        return cls(starts, (starts - 1 / steps).clamp(min=0))


def stage_name(steps: int) -> str:
    return f"steps_{steps}"


def distil_steps(
    config: DiffusionConfig,
    rounds: tuple[int, ...],
    guidance_scale: float,
    domain: Domain[Any],
    conditions: Conditions,
    unet: UNet2DConditionModel,
    directory: Path,
) -> UNet2DConditionModel:
    """The student of the last of `rounds`, each of which is told the steps its student is to take.

    Nothing is compiled: that gains a tenth, and takes a minute for every teacher and student.
    """
    task = denoising_of(config, domain, conditions, directory)
    teacher = Teacher(unet, guidance_scale, conditions.read([""]))
    for number, steps in enumerate(rounds):
        loop = replace(config.loop, seed=config.loop.seed + number)
        teacher = Teacher(_train_round(teacher, task.draw, steps, loop, directory))
    return teacher.unet


class Teacher:
    """A frozen U-Net, guided away from the states of the empty caption, where they are given."""

    def __init__(
        self, unet: UNet2DConditionModel, guidance_scale: float = 1.0, empty: torch.Tensor | None = None
    ) -> None:
        self.unet = unet.to(device()).eval().requires_grad_(False)
        self.unet.set_attn_processor(AttnProcessor())
        self._scale, self._empty = guidance_scale, empty

    def reading(self, states: torch.Tensor) -> Predict:
        """Its velocities for captions of these states, [B, L, D]."""

        def predict(latents: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            if self._empty is None:
                return velocity_of(self.unet, latents, timesteps, states)
            both = torch.cat([self._empty.expand_as(states), states])
            velocity = velocity_of(self.unet, latents.repeat(2, 1, 1, 1), timesteps.repeat(2), both)
            without, told = velocity.chunk(2)
            return apply_guidance(without, told, torch.full((len(states),), self._scale, device=states.device))

        return predict


def velocity_of(
    unet: UNet2DConditionModel, latents: torch.Tensor, timesteps: torch.Tensor, states: torch.Tensor
) -> torch.Tensor:
    """float32 [B, C, h, w]"""
    with autocast():
        velocity: torch.Tensor = unet(latents, timesteps, states).sample
    return velocity.float()


def step_loss(student: UNet2DConditionModel, teacher: Teacher, batch: Batch, steps: int, draw: Draw) -> torch.Tensor:
    """Mean square of the student's velocity less that of its target, scalar."""
    angles, moments = Angles.of(new_scheduler().alphas_cumprod), Moments.draw(steps, draw)
    noise = torch.randn(batch.latents.shape, generator=draw.torch).to(batch.latents.device)
    # from clean to the start: the velocity of clean latents is the noise
    noised = turn(batch.latents, noise, -angles.at(moments.starts).to(batch.latents.device))
    with torch.no_grad():
        target = progressive_target(teacher.reading(batch.states), angles, noised, moments.starts, moments.ends)
    timesteps = angles.timesteps(moments.starts).to(noised.device)
    return F.mse_loss(velocity_of(student, noised, timesteps, batch.states), target)


def _train_round(
    teacher: Teacher, batch_of: Callable[[Draw], Batch], steps: int, loop: LoopConfig, directory: Path
) -> UNet2DConditionModel:
    student = copy.deepcopy(teacher.unet).train()
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.ndim > 1)  # not biases and norms: a LoRA has no place for them

    def loss(draw: Draw) -> torch.Tensor:
        return step_loss(student, teacher, batch_of(draw), steps, draw)

    return train(stage_name(steps), student, loss, loop, directory)
