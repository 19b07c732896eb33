"""Previews without a tiny decoder, whose colours are learnt from pictures."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from app.backends.fake import FakeBackend
from app.engine.pictures import to_pixels
from app.engine.previews import Previews
from app.imaging import Pixels

COLOURS = torch.tensor([[0.5, -0.3, 0.1, 0.0], [0.0, 0.4, -0.2, 0.3], [-0.1, 0.2, 0.5, -0.4]])


def decoded(latents: torch.Tensor) -> list[Pixels]:
    """By a decoder that paints each latent cell in one colour, 8x8 pixels large."""
    images = torch.einsum("rc,bchw->brhw", COLOURS, latents)
    return to_pixels(F.interpolate(images, scale_factor=8))


def two_flat_halves(seed: int) -> torch.Tensor:
    """Latents [1, 4, 4, 4] of a scene with two colours."""
    left, right = torch.randn(2, 4, 1, 1, generator=torch.Generator().manual_seed(seed)) * 0.7
    return torch.cat([left.expand(4, 4, 2), right.expand(4, 4, 2)], dim=2)[None]


def error(previews: Previews, latents: torch.Tensor) -> float:
    """In levels of 255, the worst."""
    shown = previews.render("a", FakeBackend(), latents)[0].astype(int)
    return float(np.abs(shown - decoded(latents)[0][::8, ::8].astype(int)).max())


def test_pictures_in_other_colours_are_previewed_in_theirs() -> None:
    previews = Previews()
    previews.learn("a", two_flat_halves(1), decoded(two_flat_halves(1)))
    alone = error(previews, two_flat_halves(9))
    for seed in (2, 3, 4):
        previews.learn("a", two_flat_halves(seed), decoded(two_flat_halves(seed)))
    assert error(previews, two_flat_halves(9)) < 4 < alone


def test_picture_that_is_not_a_number_teaches_nothing() -> None:
    previews, scene = Previews(), two_flat_halves(1)
    previews.learn("a", scene, decoded(scene))
    previews.learn("a", torch.full((1, 4, 4, 4), torch.nan), [np.zeros((32, 32, 3), np.uint8)])
    assert error(previews, scene) < 4


def test_roms_have_colours_of_their_own() -> None:
    previews, scene = Previews(), two_flat_halves(1)
    previews.learn("a", scene, decoded(scene))
    previews.learn("b", scene, [255 - picture for picture in decoded(scene)])
    assert error(previews, scene) < 4


def test_rom_that_comes_again_with_other_latents_is_learnt_anew() -> None:
    previews, scene = Previews(), two_flat_halves(1)
    previews.learn("a", torch.zeros(1, 8, 4, 4), decoded(scene))
    previews.learn("a", scene, decoded(scene))
    assert error(previews, scene) < 4
