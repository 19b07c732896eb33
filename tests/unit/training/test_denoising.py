"""Which images a U-Net learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training.base import BaseRom
from training.denoising import NOISIER, UNIFORM, draw_timesteps
from training.diffusion import DiffusionConfig, denoising_of
from training.domains.shapes import ShapesDomain
from training.loop import Draw, LoopConfig
from training.recipes.shapes import weight_of
from training.scenes import ObjectSpec, SceneSpec

IMAGES, DRAWN = 200, 1000
STORE = Path(__file__).resolve().parents[3] / "model_store"


def test_images_are_drawn_as_often_as_they_weigh(tmp_path: Path) -> None:
    config = DiffusionConfig(LoopConfig(steps=1, batch_size=DRAWN, learning_rate=1e-3), images=IMAGES, weigh=weight_of)
    numbered = torch.arange(IMAGES, dtype=torch.float32)[:, None, None, None]
    torch.save(numbered, tmp_path / "latents.pt")
    task = denoising_of(config, ShapesDomain(), BaseRom.open(STORE, "shapes", "").conditions, tmp_path)
    batch = task.draw(Draw(0, DRAWN, np.random.default_rng(0), torch.Generator()))
    rows = batch.latents.flatten().int().numpy()
    rng = np.random.default_rng((config.loop.seed, 3))
    weights = np.array([weight_of(ShapesDomain().random_spec(rng)) for _ in range(IMAGES)])
    heavy = weights > 3
    assert heavy[rows].mean() == pytest.approx(weights[heavy].sum() / weights.sum(), abs=0.05)


@pytest.mark.parametrize(("power", "noisiest"), [(NOISIER, 16), (UNIFORM, 8)])
@pytest.mark.parametrize("seed", range(10))
def test_every_batch_has_its_share_of_the_noisiest_quarter(power: float, noisiest: int, seed: int) -> None:
    draw = Draw(0, 32, np.random.default_rng(seed), torch.Generator().manual_seed(seed))
    timesteps = draw_timesteps(32, 1000, power, draw)
    assert timesteps.min() >= 0
    assert timesteps.max() < 1000
    assert int((timesteps >= 750).sum()) == pytest.approx(noisiest, abs=1)


def test_a_scene_with_a_star_or_a_cross_weighs_more() -> None:
    star, cross, ring, heart = (ObjectSpec(shape, "red", "large") for shape in ("star", "cross", "ring", "heart"))
    alone = [weight_of(SceneSpec("white", (item,))) for item in (star, cross, ring, heart)]
    assert alone[0] == alone[1] > alone[2] > alone[3] == 1
    assert weight_of(SceneSpec("white", (heart, star), relation="above")) == alone[0]
