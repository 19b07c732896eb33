"""Image-to-image and inpainting: our engine against diffusers' pipelines, on the same files, images and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging import Source
from tests.support.oracles import ORACLES
from tests.support.pairs import Pairs
from tests.support.tiny_models import IMAGE_SIZE

FAMILIES = ["sd", "bk-sdm", "sdxl", "ssd-1b"]
CASES = [
    *((rom, task) for rom in FAMILIES for task in ("image-to-image", "inpainting")),
    *((f"{rom} inpainting", "inpainting") for rom in FAMILIES),
]
OTHERS = [
    *((f"{rom} v_prediction", task) for rom in ("sd", "sdxl") for task in ("image-to-image", "inpainting")),
    ("sdxl with latents_mean", "image-to-image"),  # the pipelines do not heed it when they inpaint
]


def make_source(task: str, side: int = IMAGE_SIZE) -> Source:
    """A colourful image; a mask with a hole that is not aligned with the latent cells."""
    image = np.random.default_rng(3).integers(0, 256, (side, side, 3)).astype(np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 + 1 : side // 2 + 2, 3 : side - 4] = 255
    return Source(image, mask if task == "inpainting" else None)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scheduler", ORACLES)
@pytest.mark.parametrize(("rom", "task"), CASES)
def test_latents_are_those_of_the_pipeline(pairs: Pairs, rom: str, task: str, scheduler: str, strength: float) -> None:
    pairs[rom].assert_same_latents(task=task, source=make_source(task), scheduler=scheduler, strength=strength)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "euler", "euler_ancestral", "dpmpp_2m"])
@pytest.mark.parametrize(("rom", "task"), OTHERS)
def test_other_predictions_and_autoencoders_are_those_of_the_pipeline(
    pairs: Pairs, rom: str, task: str, scheduler: str, strength: float
) -> None:
    pairs[rom].assert_same_latents(task=task, source=make_source(task), scheduler=scheduler, strength=strength)


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize(("rom", "task"), [*CASES, *OTHERS])
def test_pixels_are_those_of_the_pipeline(pairs: Pairs, rom: str, task: str, guidance_scale: float) -> None:
    source = make_source(task)
    pairs[rom].assert_same_pixels(task=task, source=source, strength=0.7, guidance_scale=guidance_scale)


@pytest.mark.parametrize(("width", "height"), [(16, 16), (24, 8)])
@pytest.mark.parametrize(("rom", "task"), CASES)
def test_images_of_another_size_are_resized_as_the_pipeline_does(
    pairs: Pairs, rom: str, task: str, width: int, height: int
) -> None:
    source = make_source(task, side=3 * IMAGE_SIZE)
    asked = {"scheduler": "euler", "strength": 0.6, "width": width, "height": height}
    pairs[rom].assert_same_latents(task=task, source=source, **asked)
