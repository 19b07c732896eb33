"""Random numbers of one row. A row draws from its own generator, on the CPU, whatever its neighbours and device."""

from __future__ import annotations

import torch


def make_generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def draw_noise(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Unit Gaussian noise, float32 [C, h, w], the same that diffusers draws for a batch of one."""
    return torch.randn((1, *shape), generator=generator, dtype=torch.float32)[0]
