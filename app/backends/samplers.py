"""Diffusers' own scheduler objects, for what our tables do not do: one object a row."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import diffusers
import torch
from diffusers.utils import logging as diffusers_logging

from app.backends.base import SampledPath
from app.backends.schedulers import TRIAL_STEPS
from app.core import ADAPTED_SCHEDULERS
from app.diffusion.latents import make_generator
from app.diffusion.steps import CLEAN, NoiseLevel
from app.errors import InvalidRequest

_PIXEL_SETTINGS = ("clip_sample", "thresholding")  # for models that work on pixels: off, as in the tables
_PATHS_KEPT = 64


class DiffusersSampler:
    """One row's scheduler object. It remembers the steps that it has taken."""

    def __init__(self, scheduler: Any, timesteps: torch.Tensor, levels: tuple[NoiseLevel, ...]) -> None:
        self._scheduler = _twin(scheduler)
        self._timesteps = timesteps
        self._levels = levels
        self._done = 0

    def step(
        self, latents: torch.Tensor, model_output: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = _step(self._scheduler, self._timesteps[self._done], latents[None], model_output[None], generator)
        denoised = output.get("pred_original_sample", output.get("denoised"))
        if denoised is None:
            prediction_type = self._scheduler.config.prediction_type
            denoised = estimate_clean(prediction_type, self._levels[self._done], latents, model_output)[None]
        self._done += 1
        return output["prev_sample"][0], denoised[0]


class DiffusersAdapter:
    """Lays out the paths of diffusers' schedulers with the settings of one ROM."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        diffusers_logging.set_verbosity_error()  # the log is for events
        self._config = dict(config)
        self._laid_out = lru_cache(_PATHS_KEPT)(self._lay_out)

    def lay_out(self, scheduler: str, num_inference_steps: int, begin: int) -> SampledPath:
        """The path from inference step `begin` on. Raises InvalidRequest naming a class that cannot do it, and why."""
        if scheduler not in ADAPTED_SCHEDULERS:
            raise InvalidRequest(f"{scheduler} is no class of diffusers that works here", param="scheduler")
        try:
            return self._laid_out(scheduler, num_inference_steps, begin)
        except Exception as error:
            reason = f"{scheduler} cannot take {num_inference_steps} steps ({type(error).__name__}: {error})"
            param = "num_inference_steps" if self._works(scheduler) else "scheduler"
            raise InvalidRequest(reason[:300], param=param) from error

    def _works(self, scheduler: str) -> bool:
        """Whether it can do an ordinary number of steps."""
        try:
            self._laid_out(scheduler, TRIAL_STEPS, 0)
        except Exception:  # noqa: BLE001 - schedulers raise what they like
            return False
        return True

    def _lay_out(self, name: str, num_inference_steps: int, begin: int) -> SampledPath:
        cls = getattr(diffusers, name)
        off = dict.fromkeys(_PIXEL_SETTINGS, False)
        known = inspect.signature(cls.__init__).parameters.keys() | {"_use_default_values"}
        scheduler = cls.from_config({key: value for key, value in (self._config | off).items() if key in known})
        scheduler.set_timesteps(num_inference_steps)
        timesteps = scheduler.timesteps[begin * scheduler.order :]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin * scheduler.order)
        scales, levels = _rehearse(scheduler, timesteps)
        return SampledPath(
            timesteps=tuple(float(timestep) for timestep in timesteps),
            input_scales=scales,
            init_noise_sigma=float(scheduler.init_noise_sigma),
            levels=levels,
            stages=scheduler.order,
            new_sampler=partial(DiffusersSampler, scheduler, timesteps, levels),
        )


def estimate_clean(
    prediction_type: str, level: NoiseLevel, latents: torch.Tensor, model_output: torch.Tensor
) -> torch.Tensor:
    """The clean image that a model sees in latents of that level."""
    signal, noise = level
    if prediction_type == "sample":
        return model_output
    if prediction_type == "v_prediction":
        root = math.hypot(signal, noise)
        return (signal / root * latents - noise * model_output) / root
    return (latents - noise * model_output) / signal


def _rehearse(scheduler: Any, timesteps: torch.Tensor) -> tuple[tuple[float, ...], tuple[NoiseLevel, ...]]:
    """Input scales and noise levels of a path: walked once with latents of one cell, for both may hang on its steps.

    Raises what the scheduler raises on the way, and ValueError where it divides by zero.
    """
    twin, generator = _twin(scheduler), make_generator(0)
    latents, scales, levels = torch.ones((1, 1, 1, 1)) * twin.init_noise_sigma, [], []
    for timestep in timesteps:
        levels.append(_level(twin, timestep))
        scales.append(float(twin.scale_model_input(torch.ones((1, 1, 1, 1)), timestep)))
        latents = _step(twin, timestep, latents, torch.full_like(latents, 0.5), generator)["prev_sample"]
        divides_by_zero = twin.config.prediction_type == "epsilon" and levels[-1].signal == 0
        if divides_by_zero or not latents.isfinite().all():
            raise ValueError(f"it divides by zero at timestep {float(timestep):g}")
    return tuple(scales), (*levels, CLEAN)


def _level(scheduler: Any, timestep: torch.Tensor) -> NoiseLevel:
    one, nothing = torch.ones((1, 1, 1, 1)), torch.zeros((1, 1, 1, 1))
    moment = timestep[None]
    signal, noise = scheduler.add_noise(one, nothing, moment), scheduler.add_noise(nothing, one, moment)
    return NoiseLevel(float(signal), float(noise))


def _step(
    scheduler: Any, timestep: torch.Tensor, latents: torch.Tensor, output: torch.Tensor, generator: torch.Generator
) -> Mapping[str, torch.Tensor]:
    """One step as diffusers' pipelines take it: eta 0, noise from the generator; on a batch of one."""
    offered = {"generator": generator, "eta": 0.0}
    taken = inspect.signature(scheduler.step).parameters.keys() & offered.keys()
    scheduler.scale_model_input(latents, timestep)  # some count on being asked
    stepped: Mapping[str, torch.Tensor] = scheduler.step(
        output, timestep, latents, **{name: offered[name] for name in taken}
    )
    return stepped


def _twin(scheduler: Any) -> Any:
    """A copy that goes its own way: schedulers change their lists, but never their tensors."""
    twin = copy.copy(scheduler)
    for name, value in vars(twin).items():
        if isinstance(value, list):
            setattr(twin, name, list(value))
    return twin
