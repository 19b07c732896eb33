"""From prompt to pixels with the U-Net in OpenVINO: against diffusers' own pipeline in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.engine.state import RequestState
from app.roms.catalog import read_rom
from app.roms.manifest import read_json
from tests.support.bench import alone, latents_of
from tests.support.oracles import ORACLES
from tests.support.tiny_models import IMAGE_SIZE

STEPS, SEED, GUIDANCE = 6, 20, 5.0
SIZES = [(IMAGE_SIZE, IMAGE_SIZE), (24, 40)]  # height, width
TOLERANCE = 1e-4  # of the largest latent
LEAST_DB = {"float32": 40.0, "bfloat16": 45.0}  # PSNR of pixels


@pytest.fixture(scope="module")
def pipeline(tiny_rom: Path) -> Any:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_rom, safety_checker=None, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = ORACLES["ddim"](read_json(tiny_rom / "scheduler" / "scheduler_config.json"))
    return pipeline


def theirs(pipeline: Any, size: tuple[int, int], output_type: str) -> Any:
    return pipeline(
        prompt="the cat",
        negative_prompt="a dog",
        height=size[0],
        width=size[1],
        guidance_scale=GUIDANCE,
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type=output_type,
    ).images


def ours(rom: Path, size: tuple[int, int], dtype: str, cache: Path) -> RequestState:
    options = LoadOptions("cpu", dtype, runtime="openvino", cache_dir=cache.parent)
    return alone(
        load_backend(read_rom(rom), options),
        scheduler="ddim",
        guidance_scale=GUIDANCE,
        seeds=(SEED,),
        num_inference_steps=STEPS,
        prompt="the cat",
        negative_prompt="a dog",
        height=size[0],
        width=size[1],
    )


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("dtype", LEAST_DB)
def test_pictures_are_those_of_the_pipeline(
    tiny_rom: Path, pipeline: Any, openvino_cache: Path, dtype: str, size: tuple[int, int]
) -> None:
    state = ours(tiny_rom, size, dtype, openvino_cache)
    oracle = np.asarray(theirs(pipeline, size, "pil")[0]).astype(float)
    error = state.future.result(0).images[0].astype(float) - oracle
    psnr = 10 * np.log10(255**2 / max(float((error**2).mean()), 1e-9))
    assert oracle.std() > 1, "a picture of one colour proves nothing"
    assert psnr >= LEAST_DB[dtype]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_latents_in_float32_are_those_of_the_pipeline(
    tiny_rom: Path, pipeline: Any, openvino_cache: Path, size: tuple[int, int]
) -> None:
    latents, oracle = latents_of(ours(tiny_rom, size, "float32", openvino_cache)), theirs(pipeline, size, "latent")
    assert float((latents - oracle).abs().max()) <= TOLERANCE * float(oracle.abs().max())
