"""The plainest diffusion: its schedule, its posterior, and three targets that are one when the network is right."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor, nn

from training.ddpm import TARGETS, Diffusion, Target, UNet, at, draw_scenes, errors, learn, main, sample

PREDICTION_TYPES: dict[Target, str] = {"original": "sample", "noise": "epsilon"}  # diffusers has no `previous`


@pytest.fixture(scope="module")
def diffusion() -> Diffusion:
    return Diffusion(100)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return draw_scenes(16, seed=3)


class Knowing(nn.Module):
    """Says exactly what is right for one picture, and keeps what it was shown."""

    def __init__(self, target: Target, diffusion: Diffusion, picture: Tensor) -> None:
        super().__init__()
        self.target, self.diffusion, self.picture = target, diffusion, picture
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.shown.append(x)
        alpha_bar = at(self.diffusion.alpha_bar, t)
        noise = (x - alpha_bar.sqrt() * self.picture) / (1 - alpha_bar).sqrt()
        return self.diffusion.answer(self.target, self.picture.expand_as(x), noise, t)


class Guessing(nn.Module):
    """Wrong, but always in the same way."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(1.5 * x.roll(1, dims=-1)) + 0.003 * t[:, None, None, None]


@pytest.mark.parametrize("timesteps", [10, 100, 1000])
def test_the_schedule_is_a_cosine_from_the_picture_to_noise(timesteps: int) -> None:
    kept = Diffusion(timesteps).alpha_bar.double()
    level = [math.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(timesteps + 1)]
    assert kept[:-1].tolist() == pytest.approx([level[t] / level[0] for t in range(1, timesteps)], rel=1e-5)
    assert kept[-1] == pytest.approx(1e-3 * float(kept[-2]), rel=1e-4)  # beta is clipped to 0.999
    assert kept[0] > 0.97
    assert kept[-1] < 1e-4
    assert bool((kept.diff() < 0).all())


def test_the_schedule_is_that_of_diffusers(diffusion: Diffusion) -> None:
    theirs = DDPMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    torch.testing.assert_close(diffusion.alpha_bar, theirs.alphas_cumprod, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("t", [1, 2, 17, 50, 99, 100])
def test_the_posterior_is_the_product_of_two_gaussians(diffusion: Diffusion, t: int) -> None:
    """Of x_{t-1} as x_0 foretells it, and of x_{t-1} as x_t, which is sqrt(1 - beta) of it and noise, tells of it."""
    kept = [1.0, *diffusion.alpha_bar.double().tolist()]
    beta = 1 - kept[t] / kept[t - 1]
    x_0, x_t = 0.3, -1.1
    ahead, back = 1 / max(1 - kept[t - 1], 1e-30), (1 - beta) / beta  # precisions
    mean = (ahead * math.sqrt(kept[t - 1]) * x_0 + back * x_t / math.sqrt(1 - beta)) / (ahead + back)
    ours = diffusion.previous(torch.full((1, 1, 1, 1), x_0), torch.full((1, 1, 1, 1), x_t), torch.tensor([t]))
    assert float(ours) == pytest.approx(mean, abs=2e-4)
    assert float(diffusion.deviation[t - 1]) == pytest.approx(math.sqrt(1 / (ahead + back)), abs=2e-4)


def test_noise_of_one_step_after_another_is_noise_at_once(diffusion: Diffusion) -> None:
    kept = np.array([1.0, *diffusion.alpha_bar.tolist()])
    rng = np.random.default_rng(0)
    x = np.full(200_000, 0.8)
    for alpha in kept[1:61] / kept[:60]:
        x = math.sqrt(alpha) * x + math.sqrt(1 - alpha) * rng.standard_normal(len(x))
    t, noise = torch.full((200_000,), 60), torch.randn(200_000, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    at_once = diffusion.add_noise(torch.full((200_000, 1, 1, 1), 0.8), noise, t)
    assert float(at_once.mean()) == pytest.approx(x.mean(), abs=0.01)
    assert float(at_once.std()) == pytest.approx(x.std(), abs=0.01)


@pytest.mark.parametrize("target", TARGETS)
def test_the_right_answer_gives_the_picture_back(target: Target, diffusion: Diffusion, pictures: Tensor) -> None:
    t = torch.linspace(1, 99, len(pictures)).long()
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    said = diffusion.answer(target, pictures, noise, t)
    back = diffusion.original(target, said, diffusion.add_noise(pictures, noise, t), t)
    torch.testing.assert_close(back, pictures, rtol=0, atol=1e-3)


def test_knowing_the_answer_all_three_walk_the_same_way_to_the_picture(diffusion: Diffusion, pictures: Tensor) -> None:
    knowing = {target: Knowing(target, diffusion, pictures[:1]) for target in TARGETS}
    ends = {target: sample(target, diffusion, network, 2) for target, network in knowing.items()}
    for target in TARGETS:
        torch.testing.assert_close(ends[target], pictures[:1].expand(2, -1, -1, -1), rtol=0, atol=1e-4)
        for ours, theirs in zip(knowing[target].shown, knowing["original"].shown, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("target", PREDICTION_TYPES)
def test_sampling_is_that_of_diffusers(target: Target, diffusion: Diffusion) -> None:
    scheduler = DDPMScheduler(
        num_train_timesteps=100, beta_schedule="squaredcos_cap_v2", prediction_type=PREDICTION_TYPES[target]
    )
    network = Guessing()
    torch.manual_seed(1)
    x = torch.randn(2, 3, 32, 32)
    for index in scheduler.timesteps:
        x = scheduler.step(network(x, torch.full((2,), int(index) + 1)), index, x).prev_sample
    torch.testing.assert_close(sample(target, diffusion, network, 2), x, rtol=0, atol=1e-3)


def test_the_network_is_told_the_time() -> None:
    torch.manual_seed(0)
    network, x = UNet(), torch.randn(1, 3, 32, 32).repeat(2, 1, 1, 1)
    early, late = network(x, torch.tensor([3, 90])).detach()
    assert early.shape == (3, 32, 32)
    assert float((early - late).abs().max()) > 1e-3
    assert 0.5e6 < sum(parameter.numel() for parameter in network.parameters()) < 1e6


def test_learning_a_few_steps_is_better_than_a_blank_picture(diffusion: Diffusion, pictures: Tensor) -> None:
    scenes = draw_scenes(64, seed=0)
    network, curve = learn("original", diffusion, scenes, pictures, steps=40)
    blank = (scenes.mean(dim=(0, 2, 3), keepdim=True) - pictures).square().mean()
    assert float(errors("original", diffusion, network, pictures).mean()) < 0.7 * float(blank)
    assert [row[0] for row in curve] == [40]


def test_all_three_leave_their_files_and_the_figure(tmp_path: Path) -> None:
    main(["--target", "all", "--timesteps", "4", "--smoke", "--output", str(tmp_path)])
    for target in TARGETS:
        with (tmp_path / f"{target}.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert row["step"] == "3"
        assert float(row["loss"]) > 0
        assert float(row["error"]) > 0
        with Image.open(tmp_path / f"{target}.png") as sheet:
            assert sheet.size == (384, 384)
    with Image.open(tmp_path / "ddpm.png") as figure:
        assert figure.size == (750, 435)


@pytest.mark.parametrize("option", ["--timesteps", "--steps"])
def test_numbers_that_make_no_sense_are_refused_by_name(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([option, "0"])
    assert option in capsys.readouterr().err
