"""Every scheduler by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.diffusion.multistep import dpmpp_2m, dpmpp_2m_sde, unipc
from app.diffusion.schedules import NoiseSchedule
from app.diffusion.steps import StepTable
from app.diffusion.variance_exploding import euler, euler_ancestral, heun
from app.diffusion.variance_preserving import ddim, ddpm, lcm

_LEADING_UNLESS_TOLD = ("ddim", "ddpm", "lcm")  # diffusers' defaults; the others are "linspace"

SCHEDULERS: dict[str, Callable[[NoiseSchedule, int, int], StepTable]] = {
    "ddim": ddim,
    "ddpm": ddpm,
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "unipc": unipc,
    "lcm": lcm,
}


def make_table(scheduler: str, schedule: NoiseSchedule, num_inference_steps: int, begin: int = 0) -> StepTable:
    """The inference steps from number `begin` on, as if none had been before.

    Raises KeyError for a scheduler that is not in SCHEDULERS, InvalidRequest for one that would divide by zero.
    """
    if schedule.timestep_spacing is None:
        spacing = "leading" if scheduler in _LEADING_UNLESS_TOLD else "linspace"
        schedule = replace(schedule, timestep_spacing=spacing)
    return SCHEDULERS[scheduler](schedule, num_inference_steps, begin)
