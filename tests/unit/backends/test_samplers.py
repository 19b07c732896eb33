"""What diffusers' scheduler objects do not tell is worked out, and what they cannot do is refused by name."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from app.backends.samplers import DiffusersAdapter, estimate_clean
from app.core import ADAPTED_SCHEDULERS
from app.diffusion.latents import make_generator
from app.errors import InvalidRequest
from tests.support.paths import first_noise, model

STABLE_DIFFUSION: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
}


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler", "LMSDiscreteScheduler"])
def test_clean_image_is_the_one_that_schedulers_tell(name: str, prediction_type: str) -> None:
    config = STABLE_DIFFUSION | {"prediction_type": prediction_type}
    path = DiffusersAdapter(config).lay_out(name, 8, 0)
    theirs = getattr(diffusers, name).from_config(config, clip_sample=False)
    theirs.set_timesteps(8)
    latents = first_noise()[1][:1] * path.init_noise_sigma
    for index, timestep in enumerate(theirs.timesteps):
        output = model(theirs.scale_model_input(latents, timestep), float(timestep))
        mine = estimate_clean(prediction_type, path.levels[index], latents, output)
        stepped = theirs.step(output, timestep, latents)
        torch.testing.assert_close(mine, stepped.pred_original_sample, rtol=1e-4, atol=1e-4)
        latents = stepped.prev_sample


@pytest.mark.parametrize("name", ADAPTED_SCHEDULERS)
def test_last_clean_image_is_what_the_path_ends_in(name: str) -> None:
    """But for the last of PNDM, LMS and TCD, which are sums over more than it."""
    path = DiffusersAdapter(STABLE_DIFFUSION).lay_out(name, 12, 0)
    sampler, generator = path.new_sampler(), make_generator(3)
    latents = first_noise()[1][0] * path.init_noise_sigma
    for step, timestep in enumerate(path.timesteps):
        output = model(latents[None] * path.input_scale(step), timestep)[0]
        latents, denoised = sampler.step(latents, output, generator)
    distance = float((latents - denoised).std() / latents.std())
    assert distance < (0.1 if name in ("PNDMScheduler", "LMSDiscreteScheduler", "TCDScheduler") else 0.02)


@pytest.mark.parametrize("name", ["PNDMScheduler", "DEISMultistepScheduler", "LMSDiscreteScheduler"])
def test_samplers_of_one_path_know_nothing_of_each_other(name: str) -> None:
    path = DiffusersAdapter(STABLE_DIFFUSION).lay_out(name, 6, 0)
    noise = first_noise()[1]
    samplers, alone = [path.new_sampler() for _ in noise], path.new_sampler()
    latents, lonely = list(noise), noise[0]
    for timestep in path.timesteps:
        for row, sampler in enumerate(samplers):
            output = model(latents[row][None], timestep)[0]
            latents[row] = sampler.step(latents[row], output, make_generator(row))[0]
        lonely = alone.step(lonely, model(lonely[None], timestep)[0], make_generator(0))[0]
    assert torch.equal(latents[0], lonely)
    assert not torch.equal(latents[1], lonely)


@pytest.mark.parametrize(
    ("name", "settings", "steps", "reason"),
    [
        ("DPMSolverSDEScheduler", {}, 10, "DPMSolverSDEScheduler"),
        ("FlowMatchEulerDiscreteScheduler", {}, 10, "FlowMatchEulerDiscreteScheduler"),
        ("DiffusionPipeline", {}, 10, "DiffusionPipeline"),
        ("PNDMScheduler", {"prediction_type": "sample"}, 10, "prediction_type"),
        ("PNDMScheduler", {"skip_prk_steps": False}, 2, "PNDMScheduler cannot take 2 steps"),
        ("KDPM2DiscreteScheduler", {"prediction_type": "sample"}, 10, "not implemented"),
        ("TCDScheduler", {}, 51, "51"),
        ("EulerDiscreteScheduler", {"use_beta_sigmas": True, "use_karras_sigmas": True}, 10, "Only one of"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, 10, "divides by zero"),
    ],
)
def test_what_a_class_cannot_do_is_refused_by_its_name(
    name: str, settings: dict[str, Any], steps: int, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        DiffusersAdapter(STABLE_DIFFUSION | settings).lay_out(name, steps, 0)
    assert raised.value.param == ("scheduler" if steps == 10 else "num_inference_steps")
    assert name in raised.value.message and reason in raised.value.message
