"""The images that an autoencoder learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.loop import Draw
from training.vae import recolour


@pytest.fixture
def draw() -> Draw:
    return Draw(0, 8, np.random.default_rng(0), torch.Generator().manual_seed(0))


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_recolouring_swaps_and_inverts_whole_channels(draw: Draw, pixels: torch.Tensor) -> None:
    recoloured = recolour(pixels, draw, 1.0)
    for image, original in zip(recoloured, pixels, strict=True):
        sources = [
            [index for index in range(3) if torch.equal(channel.abs(), original[index].abs())] for channel in image
        ]
        assert sorted(sources) == [[0], [1], [2]]
        for channel, (source,) in zip(image, sources, strict=True):
            assert torch.equal(channel, original[source]) or torch.equal(channel, -original[source])
    assert len({tuple(image.flatten().sign().tolist()) for image in recoloured}) == 8
    assert not torch.equal(recoloured, pixels)


def test_the_share_of_images_that_are_recoloured(draw: Draw, pixels: torch.Tensor) -> None:
    assert torch.equal(recolour(pixels, draw, 0.0), pixels)
    many = pixels.repeat(125, 1, 1, 1)
    same = (recolour(many, draw, 0.5) == many).all(dim=(1, 2, 3)).float().mean()
    assert 0.45 < float(same) < 0.58  # one in 48 of the recoloured is as it was
