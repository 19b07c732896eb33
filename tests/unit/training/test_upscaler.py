"""The upscaler's recipe: scenes of any size, a fair judge, and a ROM in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from app.roms.catalog import read_rom
from app.roms.verification import VerifiedFiles
from training.drawing import draw_scene
from training.recipes.upscaler import UPSCALER
from training.scenes import random_spec
from training.upscaler import psnr, reduce, unseen_scenes
from training.vae import to_tensor


def draw(size: int) -> torch.Tensor:
    rng = np.random.default_rng(3)
    return to_tensor(draw_scene(random_spec(rng), rng, size)[None]).cpu()


@pytest.mark.parametrize("factor", [2, 4])
def test_a_scene_drawn_large_shows_what_it_shows_small(factor: int) -> None:
    assert psnr(reduce(draw(128 * factor), factor), draw(128)) > 38


def test_psnr_is_that_of_8_bit_pixels() -> None:
    black = torch.full((2, 3, 4, 4), -1.0)
    assert psnr(black + 2 / 255, black) == pytest.approx(20 * np.log10(255), abs=1e-3)


def test_half_of_the_judged_scenes_are_of_combinations_never_seen() -> None:
    scenes = unseen_scenes(64, 0)
    assert [scene.is_held_out() for scene in scenes] == [True] * 32 + [False] * 32


def test_the_recipe_ends_in_a_rom_with_digests(tmp_path: Path) -> None:
    UPSCALER.smoke().make(tmp_path / "work", tmp_path / "store")
    rom = read_rom(tmp_path / "store" / "upscaler")
    VerifiedFiles().check(rom.directory, rom.manifest.files)
    assert rom.factors == (2, 4)
    assert {path.name for path in rom.directory.iterdir()} >= {"loss.png", "samples.png"}
