"""A ROM as plain diffusers runs it: the images that Cartridge's own are measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from app.roms.manifest import Preset
from evaluation.alignment import Generate
from training.scenes import IMAGE_SIZE


def load_pipeline(directory: Path) -> StableDiffusionPipeline:
    """The ROM in float32, on the fastest device there is. Raises OSError when it is no diffusers pipeline."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        directory,
        safety_checker=None,
        requires_safety_checker=False,
        feature_extractor=None,
        dtype=torch.float32,
        local_files_only=True,
    ).to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load(directory: Path, preset: Preset) -> Generate:
    """Load the ROM; the function returned generates one image a prompt, each from its own seed.

    Raises OSError when the directory holds no diffusers pipeline.
    """
    pipeline = load_pipeline(directory)

    def generate(prompts: list[str], seeds: list[int]) -> list[np.ndarray]:
        output = pipeline(
            prompts,
            num_inference_steps=preset.num_inference_steps,
            guidance_scale=preset.guidance_scale,
            width=preset.width or IMAGE_SIZE,
            height=preset.height or IMAGE_SIZE,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="np",
        )
        return list((output.images * 255).round().astype(np.uint8))

    return generate
