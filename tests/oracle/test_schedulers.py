"""Every scheduler against diffusers' own, step by step, on one free-running path.

Both paths start from the same noise and the same `scheduler_config.json`, and each feeds its own latents to a fixed
nonlinear model, so a wrong weight at one step would grow over the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch

from app.backends.schedulers import OFFERS
from app.diffusion.latents import draw_noise, make_generator
from app.diffusion.schedules import NoiseSchedule
from app.diffusion.steps import step_rows
from app.diffusion.tables import make_table
from app.errors import InvalidRequest
from tests.support.oracles import ORACLES

TOLERANCE = 1e-4  # of the standard deviation of the oracle's tensor at that step
TIMESTEP_TOLERANCE = 1e-4  # in training steps; diffusers computes the fractional ones in single precision

# Where diffusers' own single precision is coarser than TOLERANCE: its Euler schedulers step from latents of size sigma
# to `latents + (latents - denoised) / sigma * (sigma_next - sigma)`, two numbers of size sigma that all but cancel.
# From a first sigma of 4096 (zero terminal SNR) or 20291 (cosine betas) to a next one up to thousands of times smaller
# that leaves an error of float32's epsilon times the old latents (1.4 times at most in this grid), which our
# `keep * latents + (1 - keep) * denoised` does not make (`test_vast_first_step_is_nearer_the_truth`). That one step is
# allowed it, and the paths go on from the same latents.
VAST_SIGMA = 1000.0
ROUNDING = 2 * torch.finfo(torch.float32).eps

SHAPE = (4, 8, 8)
SEEDS = (11, 12)
TAKES_KARRAS_SIGMAS = ("euler", "dpmpp_2m", "dpmpp_2m_sde", "unipc")
STOCHASTIC = ("ddpm", "euler_ancestral", "dpmpp_2m_sde", "lcm")
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

    What a class leaves aside is tried at 7 steps: Karras sigmas, or all spacing where it has its own.
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
        )
        if not ignored:
            yield case


SUPPORTED = [case for case in grid() if not any(cannot(case) for cannot in UNSUPPORTED.values())]


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
        self.generators, noise = first_noise()
        self.is_stochastic = scheduler in STOCHASTIC
        self.prediction_type = self.scheduler.config.prediction_type
        self.init_noise_sigma = float(self.scheduler.init_noise_sigma)
        self.latents = noise * self.init_noise_sigma

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


def assert_same_path(scheduler: str, config: dict[str, Any], num_inference_steps: int) -> None:
    ours = OurPath(scheduler, config, num_inference_steps)
    oracle = OraclePath(scheduler, config, num_inference_steps)
    assert ours.table.timesteps == pytest.approx(oracle.scheduler.timesteps.tolist(), abs=TIMESTEP_TOLERANCE)
    for index in range(num_inference_steps):
        cancels = index == 0 and oracle.init_noise_sigma > VAST_SIGMA and oracle.prediction_type != "epsilon"
        rounding = ROUNDING * float(oracle.latents.abs().max()) if cancels else 0.0
        mine, theirs = ours.step(index), oracle.step(index)
        assert_same(mine.model_input, theirs.model_input, f"model input {index}")
        assert_same(mine.denoised, theirs.denoised, f"denoised {index}")
        assert_same(mine.latents, theirs.latents, f"latents {index}", rounding)
        if cancels:
            ours.latents = oracle.latents


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


def model(model_input: torch.Tensor, timestep: float) -> torch.Tensor:
    """Deterministic, nonlinear, different at every timestep, mixing channels and neighbours."""
    mixed = 1.3 * model_input + 0.7 * model_input.roll(1, dims=1) - 0.5 * model_input.roll(1, dims=3)
    return torch.tanh(mixed) + 0.3 * torch.sin(2 * model_input + timestep / 173)


def first_noise() -> tuple[list[torch.Generator], torch.Tensor]:
    generators = [make_generator(seed) for seed in SEEDS]
    return generators, torch.stack([draw_noise(SHAPE, generator) for generator in generators])
