"""Diffusion from nothing, to be read from top to bottom; docs/workshop.md walks through it.

    python -m training.ddpm --target noise

A picture x_0 is drowned in noise in T steps, x_1 to x_T, of which the last is nothing but noise. A network is shown
x_t and t, and learns to say one of three things: the original picture, the previous picture x_{t-1}, or the noise.
Sampling begins with noise and walks the steps back. There is nothing else to it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from training.ddpm_report import Row, draw_figure, write_result
from training.drawing import draw_scene
from training.loop import autocast
from training.scenes import random_spec

Target = Literal["original", "previous", "noise"]
TARGETS: tuple[Target, ...] = get_args(Target)
SIZE = 32  # pixels, square
SAMPLES = 36
BATCH = 32
LEARNING_RATE = 2e-3


class Diffusion:
    """What is known of the T steps before anything is learned; t counts from 1 to T."""

    def __init__(self, timesteps: int = 100) -> None:
        """The cosine schedule of Nichol & Dhariwal 2021, and the posterior of Ho et al. 2020, equations 6 and 7."""
        times = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
        signal = torch.cos((times + 0.008) / 1.008 * math.pi / 2).square()
        beta = (1 - signal[1:] / signal[:-1]).clamp(max=0.999)  # [T], variance of the noise that step t adds
        kept = (1 - beta).cumprod(0)  # [T], alpha bar: share of the variance of x_t that is still the picture's
        before = F.pad(kept[:-1], (1, 0), value=1.0)  # [T], the same of x_{t-1}
        self.timesteps = timesteps
        self.alpha_bar = kept.float()
        self.original_weight = (before.sqrt() * beta / (1 - kept)).float()  # of x_0 in the mean of x_{t-1}
        self.noisy_weight = ((1 - beta).sqrt() * (1 - before) / (1 - kept)).float()  # of x_t
        self.deviation = (beta * (1 - before) / (1 - kept)).sqrt().float()  # of x_{t-1}; none at t = 1

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t at once: noise upon noise is noise."""
        alpha_bar = at(self.alpha_bar, t)
        return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise

    def previous(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The mean of x_{t-1}, when both x_t and the picture are known."""
        return at(self.original_weight, t) * x_0 + at(self.noisy_weight, t) * x_t

    def answer(self, target: Target, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should have said."""
        if target == "previous":
            return self.previous(x_0, self.add_noise(x_0, noise, t), t)
        return x_0 if target == "original" else noise

    def original(self, target: Target, said: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The picture that follows from what the network said; pictures are in -1..1."""
        if target == "previous":
            said = (said - at(self.noisy_weight, t) * x_t) / at(self.original_weight, t)
        elif target == "noise":
            said = (x_t - (1 - at(self.alpha_bar, t)).sqrt() * said) / at(self.alpha_bar, t).sqrt()
        return said.clamp(-1, 1)


def at(table: Tensor, t: Tensor) -> Tensor:
    """Entries for each picture of a batch, [B, 1, 1, 1]."""
    return table[t - 1][:, None, None, None]


class Block(nn.Module):
    """Two convolutions, between which the block is told the time; what comes in is added to what goes out."""

    def __init__(self, channels: int, width: int, features: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, width, 3, padding=1))
        self.time = nn.Linear(features, width)
        self.second = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.first(x) + self.time(time)[:, :, None, None]
        return torch.add(self.shortcut(x), self.second(hidden))


class UNet(nn.Module):
    """Down to 4 x 4 and up again; on each level the way up sees what the way down saw."""

    def __init__(self, widths: Sequence[int] = (32, 64, 96), features: int = 128) -> None:
        super().__init__()
        levels = list(zip((widths[0], *widths), widths, strict=False))
        self.time = nn.Sequential(nn.Linear(64, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU())
        self.entry = nn.Conv2d(12, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Block(above, width, features) for above, width in levels)
        self.middle = Block(widths[-1], widths[-1], features)
        self.up = nn.ModuleList(Block(2 * width, above, features) for above, width in reversed(levels))
        self.exit = nn.Conv2d(widths[0], 12, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(32) / 32)  # sines of many wavelengths tell t
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        seen: list[Tensor] = []
        with autocast():  # bfloat16 where that is faster
            x = self.entry(F.pixel_unshuffle(x, 2))  # 2 x 2 pixels as one of 12 channels: a quarter of the work
            for block in self.down:
                x = block(F.avg_pool2d(x, 2) if seen else x, time)
                seen.append(x)
            x = self.middle(x, time)
            for block in self.up:
                x = block(torch.cat([x, seen.pop()], dim=1), time)
                x = F.interpolate(x, scale_factor=2) if seen else x
        return F.pixel_shuffle(self.exit(x.float()), 2)


def draw_scenes(count: int, seed: int) -> Tensor:
    """Pictures of one shape each, [N, 3, SIZE, SIZE] in -1..1."""
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(random_spec(rng, (1.0, 0.0, 0.0)), rng, SIZE) for _ in tqdm(range(count), desc="scenes")]
    return torch.from_numpy(np.stack(scenes)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def learn(target: Target, diffusion: Diffusion, scenes: Tensor, unseen: Tensor, steps: int) -> tuple[UNet, list[Row]]:
    """The network, and (step, loss, error of unseen pictures) every hundred steps."""
    torch.manual_seed(0)  # every target has the same first weights, the same batches and the same noise
    network = UNet()
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
    curve: list[Row] = []
    losses: list[float] = []
    for step in tqdm(range(1, steps + 1), desc=target):
        x_0 = scenes[torch.randint(len(scenes), (BATCH,))]
        noise, t = torch.randn_like(x_0), torch.randint(1, diffusion.timesteps + 1, (BATCH,))
        said = network(diffusion.add_noise(x_0, noise, t), t)
        loss = F.mse_loss(said, diffusion.answer(target, x_0, noise, t))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        warmth, rest = min(1.0, step / 100), (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * warmth * rest
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 0 or step == steps:
            curve.append((step, float(np.mean(losses)), float(errors(target, diffusion, network, unseen).mean())))
            losses.clear()
    return network, curve


@torch.no_grad()
def errors(target: Target, diffusion: Diffusion, network: nn.Module, pictures: Tensor) -> Tensor:
    """Mean squares, [N], of how far the network is from these pictures when they are noised, the first least."""
    t = torch.linspace(1, diffusion.timesteps, len(pictures)).round().long()
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    x_t = diffusion.add_noise(pictures, noise, t)
    return (diffusion.original(target, network(x_t, t), x_t, t) - pictures).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def sample(target: Target, diffusion: Diffusion, network: nn.Module, count: int) -> Tensor:
    torch.manual_seed(1)  # every target begins with the same noise
    x = torch.randn(count, 3, SIZE, SIZE)
    for step in tqdm(range(diffusion.timesteps, 0, -1), desc="samples"):
        t = torch.full((count,), step)
        x_0 = diffusion.original(target, network(x, t), x, t)
        x = diffusion.previous(x_0, x, t) + at(diffusion.deviation, t) * torch.randn_like(x)
    return x


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.ddpm", description=__doc__.partition("\n")[0])
    parser.add_argument("--target", choices=(*TARGETS, "all"), default="noise", help="what the network learns to say")
    parser.add_argument("--timesteps", type=int, default=100, help="T (default: 100)")
    parser.add_argument("--steps", type=int, default=4000, help="of training (default: 4000)")
    parser.add_argument("--output", type=Path, default=Path("build/ddpm"), help="(default: build/ddpm)")
    parser.add_argument("--smoke", action="store_true", help="three steps on a few scenes")
    arguments = parser.parse_args(argv)
    if min(arguments.timesteps, arguments.steps) < 1:
        parser.error("--timesteps and --steps are 1 or more")
    output, diffusion = arguments.output, Diffusion(arguments.timesteps)
    steps, many, few = (3, 64, 64) if arguments.smoke else (arguments.steps, 10_000, 512)
    scenes, unseen = draw_scenes(many, seed=0), draw_scenes(few, seed=1)
    for target in TARGETS if arguments.target == "all" else (arguments.target,):
        network, curve = learn(target, diffusion, scenes, unseen, steps)
        by_timestep = errors(target, diffusion, network, unseen)
        write_result(output, target, curve, by_timestep, sample(target, diffusion, network, SAMPLES))
    if arguments.target == "all":
        draw_figure(output, TARGETS)


if __name__ == "__main__":
    main()
