"""Progressive distillation against closed forms, and against the scheduler that serves its result."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import DDIMScheduler

from app.diffusion.schedules import NoiseSchedule
from app.diffusion.steps import step_rows
from app.diffusion.tables import make_table
from training.denoising import Batch
from training.diffusion import DiffusionConfig, new_scheduler, new_unet
from training.few_steps import Moments, Teacher, step_loss, velocity_of
from training.loop import Draw, LoopConfig
from training.progressive import Angles, progressive_target, turn, velocity_to
from training.recipes.shapes_turbo import SHAPES_TURBO

SCHEDULE = NoiseSchedule.from_config(new_scheduler().config)
ANGLES = Angles.of(new_scheduler().alphas_cumprod)
SHAPE = (5, 4, 2, 2)
STARTS, ENDS = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.125]), torch.tensor([0.75, 0.5, 0.25, 0.0, 0.0])


def noise(seed: int = 1) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def draw(batch_size: int = 64) -> Draw:
    return Draw(0, batch_size, None, torch.Generator().manual_seed(5))  # type: ignore[arg-type]


def test_angles_are_those_of_the_schedule() -> None:
    assert float(ANGLES.at(torch.tensor([0.0]))) == 0
    assert float(ANGLES.at(torch.tensor([1.0]))) == pytest.approx(torch.pi / 2)
    cosines = ANGLES.at(torch.tensor([0.25, 0.5])).cos().flatten()
    assert torch.allclose(cosines.square(), new_scheduler().alphas_cumprod[[249, 499]], atol=1e-6)


def test_a_turn_is_a_ddim_step_of_diffusers() -> None:
    scheduler: DDIMScheduler = new_scheduler()
    scheduler.set_timesteps(4)
    latents, velocity = noise(), noise(2)
    for row, timestep in enumerate(scheduler.timesteps):
        expected = scheduler.step(velocity[row], int(timestep), latents[row]).prev_sample
        angle = ANGLES.at(STARTS[row : row + 1]) - ANGLES.at(ENDS[row : row + 1])
        assert torch.allclose(turn(latents[row], velocity[row], angle[0]), expected, atol=1e-5)


def test_the_velocity_to_a_goal_leads_there() -> None:
    angle = ANGLES.at(STARTS) - ANGLES.at(ENDS)
    latents, goal = noise(), noise(2)
    assert torch.allclose(turn(latents, velocity_to(latents, goal, angle), angle), goal, atol=1e-5)


def test_the_target_of_a_linear_denoiser_is_its_closed_form() -> None:
    """velocity = slope * latents gives (cos a - (cos b - slope sin b)(cos c - slope sin c)) / sin a, a = b + c."""
    slope = 0.3
    middles = (STARTS + ENDS) / 2
    first, second = ANGLES.at(STARTS) - ANGLES.at(middles), ANGLES.at(middles) - ANGLES.at(ENDS)
    both = first + second
    left = (first.cos() - slope * first.sin()) * (second.cos() - slope * second.sin())
    target = progressive_target(lambda latents, _: slope * latents, ANGLES, noise(), STARTS, ENDS)
    assert torch.allclose(target, (both.cos() - left) / both.sin() * noise(), atol=1e-5)


def test_where_there_is_one_image_only_the_target_is_the_teachers_answer() -> None:
    """Its path is an arc about that image, so steps of any length follow it."""
    image = noise(7)

    def predict(latents: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        angle = ANGLES.radians[timesteps + 1][:, None, None, None]
        return (angle.cos() * latents - image) / angle.sin()

    latents = turn(image, noise(), -ANGLES.at(STARTS))
    target = progressive_target(predict, ANGLES, latents, STARTS, ENDS)
    assert torch.allclose(target, predict(latents, ANGLES.timesteps(STARTS)), atol=1e-4)


@pytest.mark.parametrize("steps", SHAPES_TURBO.rounds)
def test_a_request_visits_moments_of_training_only(steps: int) -> None:
    starts = Moments.draw(steps, draw(4096)).starts
    trained = set(ANGLES.timesteps(starts).tolist())
    assert len(trained) == 2 * steps
    for asked in (steps, 2 * steps):
        assert set(make_table("ddim", SCHEDULE, asked).timesteps) <= trained


def test_steps_end_where_the_next_begins_and_the_last_at_clean() -> None:
    moments = Moments.draw(4, draw(4096))
    lengths = moments.starts - moments.ends
    assert torch.equal(lengths, torch.full((4096,), 0.25).minimum(moments.starts))


def test_a_student_that_answers_the_targets_arrives_with_its_teacher() -> None:
    """Served by our ddim in four steps, where the teacher takes eight."""

    def teacher(latents: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return torch.sin(latents + timesteps[:, None, None, None] / 500)

    def arrive(steps: int, student: bool) -> torch.Tensor:
        latents, table = noise()[:1].double(), make_table("ddim", SCHEDULE, steps)
        for timestep, weights in zip(table.timesteps, table.weights, strict=True):
            start = torch.tensor([(timestep + 1) / 1000])
            output = teacher(latents, torch.tensor([timestep]))
            if student:
                output = progressive_target(teacher, ANGLES, latents, start, start - 1 / steps)
            latents, _ = step_rows(latents, output, latents, latents, latents, [weights])
        return latents

    assert torch.allclose(arrive(4, student=True), arrive(8, student=False), atol=1e-4)
    assert not torch.allclose(arrive(4, student=False), arrive(8, student=False), atol=1e-2)


def test_guidance_is_folded_into_the_first_teacher() -> None:
    config = DiffusionConfig(LoopConfig(1, 2, 1e-3), images=1, block_out_channels=(32, 64))
    unet = new_unet(config, 32)
    states, empty = torch.randn(5, 8, 32), torch.randn(1, 8, 32)
    timesteps = torch.tensor([999, 749, 499, 249, 124])
    with torch.no_grad():
        guided = Teacher(unet, 2.0, empty).reading(states)(noise().repeat(1, 1, 4, 4), timesteps)
        told, untold = (
            velocity_of(unet, noise().repeat(1, 1, 4, 4), timesteps, read) for read in (states, empty.expand_as(states))
        )
    assert torch.allclose(guided, 2 * told - untold, atol=0.05)  # bfloat16 where the processor has it


def test_the_step_loss_of_a_silent_model_is_its_closed_form() -> None:
    """A U-Net that answers 0 shortens latents by a cosine a step: its student has to make up for two in one."""
    config = DiffusionConfig(LoopConfig(1, 2, 1e-3), images=1, block_out_channels=(32, 64))
    unet = new_unet(config, 32)
    with torch.no_grad():
        unet.conv_out.weight.zero_()
        unet.conv_out.bias.zero_()
    student, batch = copy.deepcopy(unet), Batch(torch.randn(64, 4, 16, 16), torch.randn(64, 8, 32))
    loss = step_loss(student, Teacher(unet), batch, 4, draw()).detach()
    moments = Moments.draw(4, draw())
    first = ANGLES.at(moments.starts) - ANGLES.at((moments.starts + moments.ends) / 2)
    both = ANGLES.at(moments.starts) - ANGLES.at(moments.ends)
    bend = (both.cos() - first.cos() * (both - first).cos()) / both.sin()  # per unit of the noised latents, of size 1
    assert float(loss) == pytest.approx(float(bend.square().mean()), rel=0.05)
