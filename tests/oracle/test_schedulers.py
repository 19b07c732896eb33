"""Every scheduler against diffusers' own, step by step, on one free-running path."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from app.backends.schedulers import OFFERS
from app.errors import InvalidRequest
from tests.support.oracles import ORACLES
from tests.support.paths import OraclePath, OurPath, assert_same_path, model

TAKES_KARRAS_SIGMAS = ("euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc")
BETAS: dict[str, dict[str, Any]] = {
    "scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012},  # Stable Diffusion
    "linear": {"beta_start": 0.0001, "beta_end": 0.02},
    "squaredcos_cap_v2": {},
}
SD_15_CONFIG = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


SD_TURBO_CONFIG = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.24.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "sigma_max": None,
    "sigma_min": None,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "trailing",
    "timestep_type": "discrete",
    "trained_betas": None,
    "use_karras_sigmas": False,
}


@dataclass(frozen=True)
class Case:
    scheduler: str
    prediction_type: str
    timestep_spacing: str
    beta_schedule: str
    rescale_betas_zero_snr: bool
    use_karras_sigmas: bool
    steps_offset: int
    set_alpha_to_one: bool
    num_inference_steps: int

    @property
    def config(self) -> dict[str, Any]:
        """A `scheduler_config.json`. Diffusers leaves aside the keys that a class does not take, and so do we."""
        values = asdict(self) | BETAS[self.beta_schedule] | {"clip_sample": False, "thresholding": False}
        del values["scheduler"], values["num_inference_steps"]
        return values

    @property
    def starts_at_the_last_training_step(self) -> bool:
        one_step_is_at_zero = self.timestep_spacing == "linspace" and self.num_inference_steps == 1
        return self.scheduler == "lcm" or (self.timestep_spacing != "leading" and not one_step_is_at_zero)

    @property
    def spacing_is_told(self) -> bool:
        return self.timestep_spacing != "leading" or self.steps_offset > 0

    def __str__(self) -> str:
        marks = {
            "zero_snr": self.rescale_betas_zero_snr,
            "karras": self.use_karras_sigmas,
            "offset": self.steps_offset,
            "alpha_of_0": not self.set_alpha_to_one,
        }
        words = (self.scheduler, self.prediction_type, self.timestep_spacing, self.beta_schedule)
        return "-".join([*words, *(name for name, on in marks.items() if on), str(self.num_inference_steps)])


# What diffusers cannot do: (which cases, what it does instead). `test_diffusers_cannot_either` holds it to that.
UNSUPPORTED: dict[str, Callable[[Case], bool]] = {
    "raises NotImplementedError": lambda case: case.scheduler == "euler_ancestral" and case.prediction_type == "sample",
    "divides by sqrt(alphas_cumprod[999]) = 0": lambda case: (
        case.scheduler in ("ddim", "ddpm", "lcm")
        and case.prediction_type == "epsilon"
        and case.rescale_betas_zero_snr
        and case.starts_at_the_last_training_step
    ),
}


def grid() -> Iterator[Case]:
    """Every combination that differs: the offset moves only leading steps, the last alpha only DDIM.

    What a class leaves aside is tried at 7 steps: Karras sigmas, rescaled betas, or all spacing where it has its own.
    """
    everything = itertools.product(
        ORACLES,
        ("epsilon", "v_prediction", "sample"),
        ("leading", "trailing", "linspace"),
        BETAS,
        (False, True),
        (False, True),
        (0, 1),
        (True, False),
        (1, 7, 20, 50),
    )
    for case in itertools.starmap(Case, everything):
        ignored = (
            (case.use_karras_sigmas and case.scheduler not in TAKES_KARRAS_SIGMAS and case.num_inference_steps != 7)
            or (case.steps_offset and case.timestep_spacing != "leading")
            or (not case.set_alpha_to_one and case.scheduler != "ddim")
            or (case.scheduler == "lcm" and case.num_inference_steps != 7 and case.spacing_is_told)
            or (case.scheduler == "heun" and case.num_inference_steps != 7 and case.rescale_betas_zero_snr)
        )
        if not ignored:
            yield case


SUPPORTED = [case for case in grid() if not any(cannot(case) for cannot in UNSUPPORTED.values())]


@pytest.mark.parametrize("case", SUPPORTED, ids=str)
def test_path_is_that_of_diffusers(case: Case) -> None:
    assert_same_path(case.scheduler, case.config, case.num_inference_steps)


@pytest.mark.parametrize("num_inference_steps", [1, 2, 3, 4])
@pytest.mark.parametrize("scheduler", ["euler", "euler_ancestral"])
def test_few_steps_of_a_turbo_model(scheduler: str, num_inference_steps: int) -> None:
    assert_same_path(scheduler, SD_TURBO_CONFIG, num_inference_steps)


@pytest.mark.parametrize("original_inference_steps", [30, 50])
@pytest.mark.parametrize("timestep_scaling", [0.001, 1.0, 10.0])
@pytest.mark.parametrize("num_inference_steps", [1, 2, 4, 8, 30])
def test_steps_of_a_consistency_model(
    original_inference_steps: int, timestep_scaling: float, num_inference_steps: int
) -> None:
    own = {"original_inference_steps": original_inference_steps, "timestep_scaling": timestep_scaling}
    assert_same_path("lcm", SD_15_CONFIG | own, num_inference_steps)


@pytest.mark.parametrize(
    ("scheduler", "setting", "value"),
    [
        (offer.scheduler, setting, value)
        for offers in OFFERS.values()
        for offer in offers
        for setting, values in offer.settings.items()
        for value in values
    ],
)
def test_settings_that_are_offered_change_nothing(scheduler: str, setting: str, value: object) -> None:
    assert_same_path(scheduler, SD_15_CONFIG | {setting: value}, 10)


@pytest.mark.parametrize("scheduler", ORACLES)
def test_config_of_another_class_is_read_with_the_defaults_of_this_one(scheduler: str) -> None:
    assert_same_path(scheduler, SD_15_CONFIG, 20)


@pytest.mark.parametrize("case", [case for case in grid() if case not in SUPPORTED], ids=str)
def test_diffusers_cannot_either(case: Case) -> None:
    oracle = OraclePath(case.scheduler, case.config, case.num_inference_steps)
    if UNSUPPORTED["raises NotImplementedError"](case):
        with pytest.raises(NotImplementedError):
            oracle.step(0)
    else:
        assert not oracle.step(0).latents.isfinite().all()
        with pytest.raises(InvalidRequest) as raised:
            OurPath(case.scheduler, case.config, case.num_inference_steps)
        assert raised.value.param == "scheduler"


@pytest.mark.parametrize("scheduler", ["euler", "euler_ancestral"])
@pytest.mark.parametrize("beta_schedule", ["scaled_linear", "squaredcos_cap_v2"])
def test_vast_first_step_is_nearer_the_truth(scheduler: str, beta_schedule: str) -> None:
    zero_snr = beta_schedule == "scaled_linear"  # cosine betas are vast without it
    case = Case(scheduler, "v_prediction", "trailing", beta_schedule, zero_snr, False, 0, True, 1)
    ours, oracle = OurPath(scheduler, case.config, 1), OraclePath(scheduler, case.config, 1)
    sigma = oracle.init_noise_sigma
    latents = oracle.latents.double()
    output = model(oracle.latents / (sigma**2 + 1) ** 0.5, 999.0).double()
    truth = latents / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5  # the last sigma is 0
    error = float((ours.step(0).latents - truth).abs().max())
    assert error < float((oracle.step(0).latents - truth).abs().max()) / 100


def test_trailing_steps_stop_where_diffusers_runs_past_zero() -> None:
    """Of 61 steps, rounding gives diffusers a 62nd, at timestep -1."""
    config = {"timestep_spacing": "trailing"}
    theirs = OraclePath("ddim", config, 61).scheduler.timesteps.tolist()
    assert theirs[61:] == [-1]
    assert list(OurPath("ddim", config, 61).table.timesteps) == theirs[:61]
