"""Fewer blocks: what is left keeps the teacher's weights, and who answers as the teacher does has nothing to learn."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from training.block_distillation import Answer, DistillationWeights, answer, distillation_loss
from training.block_removal import BlockRemoval, remove_blocks
from training.denoising import Batch, Noised
from training.diffusion import DiffusionConfig, new_unet
from training.loop import LoopConfig
from training.recipes.shapes_small import SHAPES_SMALL

CONFIG = DiffusionConfig(LoopConfig(1, 2, 1e-3), images=1, block_out_channels=(32, 64))
ATTENTION_EVERYWHERE = replace(
    CONFIG, down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2
)
either_teacher = pytest.mark.parametrize("config", [CONFIG, ATTENTION_EVERYWHERE], ids=["sparse", "everywhere"])
WEIGHTS = DistillationWeights(output=1.0, features=0.5)


def count(unet: UNet2DConditionModel) -> int:
    return sum(parameter.numel() for parameter in unet.parameters())


def ask(unet: UNet2DConditionModel) -> Answer:
    generator = torch.Generator().manual_seed(3)
    latents, states = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 8, 32, generator=generator)
    with torch.no_grad():
        return answer(unet, Noised(latents, torch.tensor([999, 20]), latents), Batch(latents, states))


@either_teacher
def test_every_weight_that_is_left_is_the_teachers(config: DiffusionConfig) -> None:
    teacher = new_unet(config, 32)
    before = copy.deepcopy(teacher.state_dict())
    student = remove_blocks(teacher, SHAPES_SMALL.removal)
    for name, weight in student.state_dict().items():
        assert torch.equal(weight, before[name])
    with torch.no_grad():
        student.conv_in.weight.zero_()
    assert torch.equal(teacher.conv_in.weight, before["conv_in.weight"])


@either_teacher
def test_the_recipe_removes_two_fifths_of_the_parameters(config: DiffusionConfig) -> None:
    teacher = new_unet(replace(config, block_out_channels=(96, 160)), 192)
    assert count(remove_blocks(teacher, SHAPES_SMALL.removal)) <= 0.6 * count(teacher)


@either_teacher
def test_what_the_recipe_leaves(config: DiffusionConfig) -> None:
    student = remove_blocks(new_unet(config, 32), SHAPES_SMALL.removal)
    assert student.mid_block is None
    assert tuple(student.config.down_block_types) == ("DownBlock2D", "DownBlock2D")
    assert student.config.up_block_types[0] == "UpBlock2D"
    assert student.config.up_block_types[1] == config.up_block_types[1]


def test_the_student_is_a_plain_unet_of_diffusers(tmp_path: Path) -> None:
    student = remove_blocks(new_unet(CONFIG, 32), SHAPES_SMALL.removal).eval()
    student.save_pretrained(tmp_path)
    again = UNet2DConditionModel.from_pretrained(tmp_path)
    assert torch.equal(ask(again).velocity, ask(student).velocity)


def test_removing_nothing_gives_the_teacher() -> None:
    teacher = new_unet(CONFIG, 32).eval()
    same = remove_blocks(teacher, BlockRemoval(mid_block=False, down_attention=(), up_attention=()))
    assert torch.equal(ask(same.eval()).velocity, ask(teacher).velocity)


def test_the_teacher_has_nothing_to_learn_from_itself() -> None:
    teacher = new_unet(CONFIG, 32).eval()
    taught = ask(teacher)
    assert distillation_loss(ask(copy.deepcopy(teacher)), taught, taught.velocity, WEIGHTS) == 0


@either_teacher
def test_features_are_those_at_the_ends_of_all_stages(config: DiffusionConfig) -> None:
    teacher = new_unet(config, 32).eval()
    own, taught = ask(remove_blocks(teacher, SHAPES_SMALL.removal).eval()), ask(teacher)
    shapes = [(2, 32, 8, 8), (2, 64, 8, 8), (2, 64, 16, 16), (2, 32, 16, 16)]
    assert [feature.shape for feature in own.features] == [feature.shape for feature in taught.features] == shapes


def test_the_loss_is_the_sum_of_three_errors() -> None:
    ones = torch.ones(1, 4, 2, 2)
    student = Answer(2 * ones, (3 * ones, ones))
    teacher = Answer(5 * ones, (2 * ones, ones))
    task, output, features = 1.0, 9.0, (1 / 4 + 0) / 2
    expected = task + WEIGHTS.output * output + WEIGHTS.features * features
    assert float(distillation_loss(student, teacher, ones, WEIGHTS)) == pytest.approx(expected)
