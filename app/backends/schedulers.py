"""Which of our schedulers does what a `scheduler_config.json` asks of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core import ADAPTED_SCHEDULERS
from app.errors import InvalidRequest, ManifestError
from app.roms.manifest import read_json

if TYPE_CHECKING:
    from app.backends.base import SchedulerAdapter

_FALLBACK = "dpmpp_2m"  # for classes that nothing here does
TRIAL_STEPS = 10
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


def find_scheduler(config: Mapping[str, Any], adapter: SchedulerAdapter) -> tuple[str, str | None]:
    """What does as the config asks: one of our tables, or the class itself through the adapter.

    Where neither can: the nearest table, and why the class cannot.
    """
    name = str(config.get("_class_name", ""))
    nearest = _nearest(config)
    if nearest is not None and not _differing(nearest, config):
        return nearest.scheduler, None
    try:
        adapter.lay_out(name, TRIAL_STEPS, 0)
    except InvalidRequest as error:
        return _FALLBACK if nearest is None else nearest.scheduler, error.message
    return name, None


def adapted_class(directory: Path) -> str | None:
    """The class of diffusers that a ROM's files ask for, where no table does the same. Reads no more than JSON."""
    try:
        config = read_json(directory / "scheduler" / "scheduler_config.json")
    except ManifestError:  # there is none, or it will be told of when the ROM is loaded
        return None
    nearest, name = _nearest(config), str(config.get("_class_name", ""))
    is_table = nearest is not None and not _differing(nearest, config)
    return name if name in ADAPTED_SCHEDULERS and not is_table else None


def _nearest(config: Mapping[str, Any]) -> Offer | None:
    offers = OFFERS.get(str(config.get("_class_name", "")), ())
    return min(offers, key=lambda offer: len(_differing(offer, config)), default=None)


def _differing(offer: Offer, config: Mapping[str, Any]) -> list[str]:
    return [name for name, same in offer.settings.items() if config.get(name) not in (None, *same)]
