"""The autoencoder that the embedded ROMs share, with the errors in its latents that a denoiser leaves there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from app.engine.pictures import to_pixels
from evaluation.judges.scene import judge
from evaluation.rom import load_pipeline
from training.drawing import draw_scene
from training.scenes import COLOURS, ObjectSpec, SceneSpec
from training.vae import to_tensor

SHIPPED = Path(__file__).resolve().parents[3] / "model_store" / "shapes"
ERROR = 0.2  # of the latents' standard deviation


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return load_pipeline(SHIPPED).vae


@pytest.mark.parametrize("background", ["black", "white", "cream", "navy"])
def test_colours_stay_what_they_are(vae: AutoencoderKL, background: str) -> None:
    rng, noise = np.random.default_rng(0), torch.Generator().manual_seed(0)
    scenes = [SceneSpec(background, (ObjectSpec("circle", colour, "large"),)) for colour in COLOURS]
    with torch.inference_mode():
        latents = vae.encode(to_tensor(np.stack([draw_scene(scene, rng) for scene in scenes]))).latent_dist.mean
        latents = latents + ERROR / vae.config.scaling_factor * torch.randn(latents.shape, generator=noise)
        pictures = to_pixels(vae.decode(latents).sample)
    wrong = [
        scene.objects[0].colour
        for scene, picture in zip(scenes, pictures, strict=True)
        if not judge(scene, picture).all_right
    ]
    assert wrong == []


def test_between_red_and_green_there_is_neither_blue_nor_purple(vae: AutoencoderKL) -> None:
    """The mean of two latents is decoded to about the mean of their colours."""
    scenes = [SceneSpec("white", (ObjectSpec("square", colour, "large"),)) for colour in ("red", "green")]
    ends = np.stack([draw_scene(scene, np.random.default_rng(0)) for scene in scenes])
    with torch.inference_mode():
        latents = vae.encode(to_tensor(ends)).latent_dist.mean
        (picture,) = to_pixels(vae.decode(latents.mean(dim=0, keepdim=True)).sample)
    inside = (ends[0] != ends[1]).any(axis=2)
    expected = ends.mean(axis=0)[inside].mean(axis=0)
    assert np.abs(picture[inside].mean(axis=0) - expected).max() < 30
