"""A row's noise depends on its seed and nothing else."""

from __future__ import annotations

import torch

from app.diffusion.latents import draw_noise, make_generator

SHAPE = (4, 8, 8)


def test_same_seed_gives_the_same_noise_and_another_seed_another() -> None:
    assert torch.equal(draw_noise(SHAPE, make_generator(7)), draw_noise(SHAPE, make_generator(7)))
    assert not torch.equal(draw_noise(SHAPE, make_generator(7)), draw_noise(SHAPE, make_generator(8)))


def test_second_draw_is_fresh() -> None:
    generator = make_generator(7)
    assert not torch.equal(draw_noise(SHAPE, generator), draw_noise(SHAPE, generator))


def test_other_rows_and_the_global_generator_change_nothing() -> None:
    alone = make_generator(7)
    expected = [draw_noise(SHAPE, alone) for _ in range(3)]
    row, neighbour = make_generator(7), make_generator(8)
    drawn = []
    for step in range(3):
        for _ in range(step):
            draw_noise((2, 16, 16), neighbour)
        torch.manual_seed(step)
        drawn.append(draw_noise(SHAPE, row))
    assert all(torch.equal(mine, lonely) for mine, lonely in zip(drawn, expected, strict=True))


def test_noise_is_unit_gaussian_in_single_precision_on_the_cpu() -> None:
    noise = draw_noise((4, 64, 64), make_generator(0))
    assert noise.shape == (4, 64, 64)
    assert (noise.dtype, noise.device.type) == (torch.float32, "cpu")
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.std()) - 1) < 0.03


def test_noise_is_what_diffusers_draws_for_a_batch_of_one() -> None:
    theirs = torch.randn((1, *SHAPE), generator=torch.Generator("cpu").manual_seed(7))
    assert torch.equal(draw_noise(SHAPE, make_generator(7)), theirs[0])
