"""Progressive distillation: one step of the student goes where two of its teacher's go (Salimans & Ho 2022, section 3).

With signal cos(angle) and noise sin(angle), a DDIM step of a model that predicts v turns latents and velocity against
each other (their appendix D), so nothing divides by a signal of zero, and pure noise is a start like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The velocity, [B, C, h, w], of noised latents [B, C, h, w] at timesteps [B]."""


@dataclass(frozen=True)
class Angles:
    """How far from clean the latents of every timestep are: 0 is clean, pi / 2 pure noise."""

    radians: torch.Tensor  # [N + 1]: clean, then those of timesteps 0..N-1

    @classmethod
    def of(cls, alphas_cumprod: torch.Tensor) -> Angles:
        """Of shares of signal variance, [N], one a timestep."""
        return cls(torch.cat([torch.ones(1), alphas_cumprod.cpu()]).sqrt().acos())

    def timesteps(self, moments: torch.Tensor) -> torch.Tensor:
        """[B], of moments [B]: shares of the whole way from clean to noise. -1 is clean."""
        return (moments * (len(self.radians) - 1)).round().long() - 1

    def at(self, moments: torch.Tensor) -> torch.Tensor:
        """Radians, [B, 1, 1, 1], of moments [B]."""
        return self.radians[self.timesteps(moments) + 1][:, None, None, None]


def turn(latents: torch.Tensor, velocity: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """A DDIM step: latents [B, C, h, w] taken `angle` radians [B, 1, 1, 1] nearer to clean."""
    return angle.cos() * latents - angle.sin() * velocity


def velocity_to(latents: torch.Tensor, goal: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """The velocity that `turn` needs to go from latents to the goal, [B, C, h, w]."""
    return (angle.cos() * latents - goal) / angle.sin()


def progressive_target(
    predict: Predict,
    angles: Angles,
    latents: torch.Tensor,  # [B, C, h, w], noised
    starts: torch.Tensor,  # [B], moments above 0
    ends: torch.Tensor,  # [B], moments below
) -> torch.Tensor:
    """The velocity that in one step goes where the teacher goes in two, halfway and on, [B, C, h, w]."""
    middles = (starts + ends) / 2
    start, middle, end = (angles.at(moments).to(latents.device) for moments in (starts, middles, ends))
    halfway = turn(latents, predict(latents, angles.timesteps(starts).to(latents.device)), start - middle)
    goal = turn(halfway, predict(halfway, angles.timesteps(middles).to(latents.device)), middle - end)
    return velocity_to(latents, goal, start - end)
