"""Precision and scale of what goes in and out of an autoencoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.backends.autoencoder import Autoencoder
from tests.support.forwards import near
from tests.support.tiny_models import IMAGE_SIZE, LATENT_SIZE, make_autoencoder, make_tiny_autoencoder


def make(**config: Any) -> Any:
    torch.manual_seed(2)
    return make_autoencoder(**config).eval().requires_grad_(False)


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn((1, 4, LATENT_SIZE, LATENT_SIZE), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("force_upcast", "upcasts_half", "upcast", "is_exact"),
    [
        (True, True, False, True),
        (False, True, False, False),  # as a fixed autoencoder of SDXL says of itself
        (True, False, False, False),  # Stable Diffusion 1 and 2 do not heed it, as in diffusers
        (False, False, True, True),
    ],
)
def test_half_precision_computes_in_single_where_it_would_overflow(
    latents: torch.Tensor, force_upcast: bool, upcasts_half: bool, upcast: bool, is_exact: bool
) -> None:
    half = make(force_upcast=force_upcast).half()
    autoencoder = Autoencoder(half, upcasts_half=upcasts_half)
    pixels = autoencoder.decode(latents, upcast=upcast)
    assert (pixels.dtype, half.dtype) == (torch.float32, torch.float16)
    assert torch.equal(pixels, Autoencoder(half.float()).decode(latents)) == is_exact


def test_latents_have_the_mean_and_the_spread_that_the_config_tells() -> None:
    image = torch.rand((3, IMAGE_SIZE, IMAGE_SIZE), generator=torch.Generator().manual_seed(1)) * 2 - 1
    config: dict[str, Any] = {"latents_mean": [1.0, 0.0, -2.0, 3.0], "latents_std": [2.0, 4.0, 0.5, 1.0]}
    plain, scaled = Autoencoder(make(scaling_factor=0.5)), Autoencoder(make(scaling_factor=0.5, **config))
    before, after = plain.encode(image), scaled.encode(image)
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("latents_mean", "latents_std"))
    assert before.std is not None
    assert after.std is not None
    assert near(after.mean, (before.mean / 0.5 - mean) / std * 0.5)
    assert near(after.std, before.std / std)
    assert near(scaled.decode(after.mean[None]), plain.decode(before.mean[None]))


def test_tiny_autoencoder_draws_nothing() -> None:
    encoded = Autoencoder(make_tiny_autoencoder().requires_grad_(False)).encode(torch.zeros(3, IMAGE_SIZE, IMAGE_SIZE))
    assert encoded.std is None
