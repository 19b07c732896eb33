"""Image-to-image and inpainting: our engine against diffusers' pipelines, on the same files, images and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from PIL import Image

from app.backends.base import Backend
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.engine.state import RequestState
from app.imaging import Source
from app.roms.catalog import read_rom
from app.roms.manifest import read_json
from tests.oracle.test_pipeline import (
    PIXEL_TOLERANCE,
    SEED,
    STEPS,
    V_PREDICTION,
    assert_same_latents,
)
from tests.support.bench import alone, latents_of
from tests.support.oracles import ORACLES, make_oracle
from tests.support.tiny_rom import IMAGE_SIZE, STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

ROMS = {
    "kl-epsilon": TinyRom(),
    "tiny-v_prediction": TinyRom("AutoencoderTiny", scheduler_config=STABLE_DIFFUSION_SCHEDULE | V_PREDICTION, seed=1),
    "inpainting": TinyRom(unet_channels=9, seed=2),
}
PIPELINES = {"image-to-image": StableDiffusionImg2ImgPipeline, "inpainting": StableDiffusionInpaintPipeline}
PROMPTS = {"prompt": "the cat", "negative_prompt": "a dog"}
CASES = [(rom, task) for rom in ROMS for task in PIPELINES if (rom, task) != ("inpainting", "image-to-image")]


@dataclass
class Pair:
    """One ROM, on both sides."""

    directory: Path
    backend: Backend
    pipelines: dict[str, Any] = field(default_factory=dict)

    def pipeline(self, task: str, scheduler: str) -> Any:
        if task not in self.pipelines:
            parts = StableDiffusionPipeline.from_pretrained(self.directory, safety_checker=None, local_files_only=True)
            loaded = PIPELINES[task](**parts.components, requires_safety_checker=False)
            loaded.set_progress_bar_config(disable=True)
            self.pipelines[task] = loaded
        pipeline = self.pipelines[task]
        pipeline.scheduler = make_oracle(scheduler, read_json(self.directory / "scheduler" / "scheduler_config.json"))
        return pipeline


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    pairs = {}
    for name, options in ROMS.items():
        directory = build_tiny_rom(tmp_path_factory.mktemp("tasks") / name, options)
        pairs[name] = Pair(directory, load_backend(read_rom(directory), LoadOptions("cpu", "float32")))
    yield pairs
    for pair in pairs.values():
        pair.backend.unload()


def make_source(task: str, side: int = IMAGE_SIZE) -> Source:
    """A colourful image; a mask with a hole that is not aligned with the latent cells."""
    image = np.random.default_rng(3).integers(0, 256, (side, side, 3)).astype(np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 + 1 : side // 2 + 2, 3 : side - 4] = 255
    return Source(image, mask if task == "inpainting" else None)


def ours(
    pair: Pair, task: str, source: Source, scheduler: str, strength: float, guidance_scale: float = 5.0
) -> RequestState:
    return alone(
        pair.backend,
        source=source,
        task=task,
        scheduler=scheduler,
        strength=strength,
        guidance_scale=guidance_scale,
        seeds=(SEED,),
        num_inference_steps=STEPS,
        width=IMAGE_SIZE,
        height=IMAGE_SIZE,
        **PROMPTS,
    )


def theirs(
    pair: Pair, task: str, source: Source, scheduler: str, strength: float, output: str, guidance_scale: float = 5.0
) -> Any:
    images: dict[str, Any] = {"image": Image.fromarray(source.image).resize((IMAGE_SIZE, IMAGE_SIZE), 1)}
    if source.mask is not None:
        mask = Image.fromarray(source.mask).resize((IMAGE_SIZE, IMAGE_SIZE), 1)
        images |= {"mask_image": mask, "height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return pair.pipeline(task, scheduler)(
        **images,
        **PROMPTS,
        strength=strength,
        guidance_scale=guidance_scale,
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type=output,
    ).images


@pytest.mark.parametrize("strength", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("scheduler", ORACLES)
@pytest.mark.parametrize(("rom", "task"), CASES)
def test_latents_are_those_of_the_pipeline(
    pairs: dict[str, Pair], rom: str, task: str, scheduler: str, strength: float
) -> None:
    pair, source = pairs[rom], make_source(task)
    state = ours(pair, task, source, scheduler, strength)
    assert_same_latents(latents_of(state), theirs(pair, task, source, scheduler, strength, "latent"))


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize(("rom", "task"), CASES)
def test_pixels_are_those_of_the_pipeline(pairs: dict[str, Pair], rom: str, task: str, guidance_scale: float) -> None:
    pair, source = pairs[rom], make_source(task)
    state = ours(pair, task, source, "ddim", 0.7, guidance_scale)
    picture = np.asarray(theirs(pair, task, source, "ddim", 0.7, "pil", guidance_scale)[0]).astype(int)
    assert np.abs(state.future.result(0).images[0].astype(int) - picture).max() <= PIXEL_TOLERANCE


@pytest.mark.parametrize(("rom", "task"), CASES)
def test_images_of_another_size_are_resized_as_the_pipeline_does(pairs: dict[str, Pair], rom: str, task: str) -> None:
    pair, source = pairs[rom], make_source(task, side=3 * IMAGE_SIZE)
    state = ours(pair, task, source, "euler", 0.6)
    assert_same_latents(latents_of(state), theirs(pair, task, source, "euler", 0.6, "latent"))
