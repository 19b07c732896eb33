"""Rows of a batch know nothing of each other, and a table refuses what it cannot compute."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch

from app.diffusion.schedules import NoiseSchedule
from app.diffusion.steps import StepWeights, step_rows
from app.diffusion.tables import SCHEDULERS, make_table
from app.errors import InvalidRequest

STABLE_DIFFUSION = NoiseSchedule(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
FINELY_DISTILLED = replace(STABLE_DIFFUSION, original_inference_steps=200)


def mixed_weights() -> list[StepWeights]:
    """First, middle and last steps of every scheduler, with different step counts."""
    tables = [make_table(name, STABLE_DIFFUSION, 5 + index) for index, name in enumerate(SCHEDULERS)]
    return [table.weights[index] for table in tables for index in (0, 2, -1)]


@dataclass(frozen=True)
class Rows:
    """All that `step_rows` takes but the weights, one after the other: [5, B, C, h, w]."""

    tensors: torch.Tensor

    @classmethod
    def random(cls, count: int) -> Rows:
        return cls(torch.randn((5, count, 4, 8, 8), generator=torch.Generator().manual_seed(3)))

    def step(self, weights: list[StepWeights]) -> tuple[torch.Tensor, torch.Tensor]:
        latents, model_output, previous_denoised, earlier_denoised, noise = self.tensors
        return step_rows(latents, model_output, previous_denoised, earlier_denoised, noise, weights)


def test_row_in_a_mixed_batch_is_the_row_alone() -> None:
    weights = mixed_weights()
    rows = Rows.random(len(weights))
    together = rows.step(weights)
    for row, line in enumerate(weights):
        alone = Rows(rows.tensors[:, row : row + 1]).step([line])
        for crowd, solitude in zip(together, alone, strict=True):
            assert torch.equal(crowd[row], solitude[0])


def test_order_of_rows_does_not_matter() -> None:
    weights = mixed_weights()
    rows = Rows.random(len(weights))
    latents, denoised = rows.step(weights)
    backwards = Rows(rows.tensors.flip(1)).step(weights[::-1])
    assert torch.equal(latents, backwards[0].flip(0))
    assert torch.equal(denoised, backwards[1].flip(0))


def test_other_rows_can_be_broken() -> None:
    weights = mixed_weights()[:2]
    rows = Rows.random(2)
    expected = rows.step(weights)[0][0]
    rows.tensors[:, 1] = math.nan
    assert torch.equal(rows.step(weights)[0][0], expected)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_last_step_ends_in_the_denoised_image(scheduler: str) -> None:
    last = make_table(scheduler, STABLE_DIFFUSION, 20).weights[-1]
    latents, denoised = Rows.random(1).step([last])
    torch.testing.assert_close(latents, denoised, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("num_inference_steps", [1, 2, 3, 50, 61, 150])
def test_table_has_a_line_a_step_of_finite_numbers(scheduler: str, num_inference_steps: int) -> None:
    table = make_table(scheduler, FINELY_DISTILLED, num_inference_steps)
    forwards = 2 * num_inference_steps - 1 if scheduler == "heun" else num_inference_steps
    assert len(table) == len(table.weights) == len(table.levels) - 1 == forwards
    assert all(math.isfinite(value) for line in table.weights for value in line)
    assert all(0 <= timestep <= 999 for timestep in table.timesteps)
    assert sorted(table.timesteps, reverse=True) == list(table.timesteps)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_timesteps_become_a_single_precision_tensor(scheduler: str) -> None:
    """NumPy scalars would make it double, and double latents of whatever a model multiplies with it."""
    assert torch.tensor(make_table(scheduler, STABLE_DIFFUSION, 7).timesteps).dtype == torch.float32


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "lcm"])
def test_epsilon_from_pure_noise_is_refused_by_name(scheduler: str) -> None:
    schedule = NoiseSchedule(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    with pytest.raises(InvalidRequest) as raised:
        make_table(scheduler, schedule, 10)
    assert raised.value.param == "scheduler"


@pytest.mark.parametrize("scheduler", ["dpmpp_2m", "dpmpp_2m_sde", "unipc"])
@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_steps_that_do_not_move_are_refused_by_name(scheduler: str, spacing: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        make_table(scheduler, NoiseSchedule(timestep_spacing=spacing), 1000)
    assert raised.value.param == "num_inference_steps"


def test_consistency_model_is_not_asked_for_more_steps_than_it_knows() -> None:
    for schedule, known in ((STABLE_DIFFUSION, 50), (replace(STABLE_DIFFUSION, num_train_timesteps=20), 20)):
        assert len(set(make_table("lcm", schedule, known).timesteps)) == known
        with pytest.raises(InvalidRequest, match=f"1 to {known}") as raised:
            make_table("lcm", schedule, known + 1)
        assert raised.value.param == "num_inference_steps"


def test_only_the_stochastic_schedulers_add_noise() -> None:
    noisy = {name for name in SCHEDULERS if any(line.noise for line in make_table(name, STABLE_DIFFUSION, 10).weights)}
    assert noisy == {"ddpm", "euler_ancestral", "dpmpp_2m_sde", "lcm"}


def test_unknown_scheduler_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        make_table("plms", STABLE_DIFFUSION, 10)
