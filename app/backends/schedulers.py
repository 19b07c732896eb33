"""Which of our schedulers does what a `scheduler_config.json` asks of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_FALLBACK = "dpmpp_2m"  # for classes that are not offered, such as SD 1.5's PNDM
_OWN_SIGMAS: dict[str, tuple[object, ...]] = {  # other ways to space steps than those of NoiseSchedule
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "use_flow_sigmas": (False,),
    "use_lu_lambdas": (False,),
    "sigma_min": (),
    "sigma_max": (),
    "final_sigmas_type": ("zero",),
}


class Offer(NamedTuple):
    """A scheduler, and the settings of a class with which it does the same. Left out or null, a setting is fine."""

    scheduler: str
    settings: Mapping[str, tuple[object, ...]] = {}


_DPM_SOLVER: dict[str, tuple[object, ...]] = {
    "solver_order": (2,),
    "solver_type": ("midpoint", "logrho", "bh1", "bh2"),  # diffusers takes the others for midpoint
    "lambda_min_clipped": (float("-inf"),),
}
_UNIPC: dict[str, tuple[object, ...]] = {
    "solver_order": (2,),
    "solver_type": ("bh2", "midpoint", "heun", "logrho"),  # diffusers takes the others for bh2
    "predict_x0": (True,),
    "lower_order_final": (True,),
    "disable_corrector": ([],),
    "solver_p": (),
}
OFFERS: dict[str, tuple[Offer, ...]] = {
    "DDIMScheduler": (Offer("ddim"),),
    "DDPMScheduler": (Offer("ddpm", {"variance_type": ("fixed_small", "fixed_small_log")}),),
    "EulerDiscreteScheduler": (
        Offer("euler", _OWN_SIGMAS | {"interpolation_type": ("linear",), "timestep_type": ("discrete",)}),
    ),
    "EulerAncestralDiscreteScheduler": (Offer("euler_ancestral"),),
    "HeunDiscreteScheduler": (Offer("heun", {"use_exponential_sigmas": (False,), "use_beta_sigmas": (False,)}),),
    "DPMSolverMultistepScheduler": (
        Offer("dpmpp_2m", _OWN_SIGMAS | _DPM_SOLVER | {"algorithm_type": ("dpmsolver++",)}),
        Offer("dpmpp_2m_sde", _OWN_SIGMAS | _DPM_SOLVER | {"algorithm_type": ("sde-dpmsolver++",)}),
    ),
    "UniPCMultistepScheduler": (Offer("unipc", _OWN_SIGMAS | _UNIPC),),
    "LCMScheduler": (Offer("lcm"),),
}


def find_scheduler(config: Mapping[str, Any]) -> tuple[str, str | None]:
    """The nearest of ours, and what the config asks for where that is not offered: a class, or settings of it."""
    name = config.get("_class_name", "")
    if name not in OFFERS:
        return _FALLBACK, name
    nearest = min(OFFERS[name], key=lambda offer: len(_differing(offer, config)))
    differing = _differing(nearest, config)
    words = ", ".join(f"{setting} {config[setting]!r}" for setting in differing)
    return nearest.scheduler, f"{name} with {words}" if words else None


def _differing(offer: Offer, config: Mapping[str, Any]) -> list[str]:
    return [name for name, same in offer.settings.items() if config.get(name) not in (None, *same)]
