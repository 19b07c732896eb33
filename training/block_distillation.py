"""A U-Net of fewer blocks learns from the one it was cut out of (Kim et al. 2023, BK-SDM, section 3.3).

Three errors are made small at once: to the velocity that the images tell (the task), to the teacher's output, and to
what the teacher's features are where a stage ends. Widths are equal, so features compare without a projection. In the
paper they weigh as they are; here each is measured against the teacher's, whose mean squares go from 1 to 770.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from training.denoising import Batch, Conditions, Noised
from training.diffusion import DiffusionConfig, denoising_of
from training.domains.domain import Domain
from training.loop import Draw, autocast, device, train


@dataclass(frozen=True)
class Answer:
    """What a U-Net makes of noised latents."""

    velocity: torch.Tensor  # [B, C, h, w]
    features: tuple[torch.Tensor, ...]  # [B, C, h, w] each, at the end of each stage down and up


@dataclass(frozen=True)
class DistillationWeights:
    """Of the errors to the teacher; the task's is 1."""

    output: float
    features: float


def distil_blocks(
    config: DiffusionConfig,
    weights: DistillationWeights,
    domain: Domain[Any],
    conditions: Conditions,
    teacher: UNet2DConditionModel,
    student: UNet2DConditionModel,
    directory: Path,
) -> UNet2DConditionModel:
    """Train `student`; returns its moving average.

    Nothing is compiled: that gains a tenth, and hooks would not follow.
    """
    for unet in (teacher.eval().requires_grad_(False), student.train()):
        unet.to(device()).set_attn_processor(AttnProcessor())
    task = denoising_of(config, domain, conditions, directory)

    def loss(draw: Draw) -> torch.Tensor:
        batch = task.draw(draw)
        noised = task.noise(batch.latents, draw)
        with torch.no_grad():
            taught = answer(teacher, noised, batch)
        return distillation_loss(answer(student, noised, batch), taught, noised.target, weights)

    return train("distillation", student, loss, config.loop, directory).eval().requires_grad_(False)


def answer(unet: UNet2DConditionModel, noised: Noised, batch: Batch) -> Answer:
    features: list[torch.Tensor] = []
    stages = (*unet.down_blocks, *unet.up_blocks)
    hooks = [stage.register_forward_hook(partial(_keep, features)) for stage in stages]
    try:
        with autocast():
            velocity = unet(noised.latents, noised.timesteps, batch.states).sample
    finally:
        for hook in hooks:
            hook.remove()
    return Answer(velocity.float(), tuple(features))


def distillation_loss(
    student: Answer, teacher: Answer, velocity: torch.Tensor, weights: DistillationWeights
) -> torch.Tensor:
    """Scalar. 0 where the student answers as the teacher does, and both right."""
    task = F.mse_loss(student.velocity, velocity)
    output = F.mse_loss(student.velocity, teacher.velocity)
    pairs = zip(student.features, teacher.features, strict=True)
    features = torch.stack([_relative_error(own.float(), taught.float()) for own, taught in pairs]).mean()
    return task + weights.output * output + weights.features * features


def _relative_error(value: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean square of the error over that of the target."""
    return F.mse_loss(value, target) / target.square().mean().clamp(min=1e-8)


def _keep(features: list[torch.Tensor], stage: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    """Down stages return their skips besides."""
    features.append(output[0] if isinstance(output, tuple) else output)
