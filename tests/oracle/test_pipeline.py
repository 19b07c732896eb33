"""From prompt to pixels: our engine against diffusers' own pipelines, on the same files and seeds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderTiny, DiffusionPipeline

from tests.support.bench import latents_of
from tests.support.oracles import ORACLES
from tests.support.pairs import SEED, Pair, Pairs, assert_near, assert_pixels
from tests.support.tiny_rom import STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

FAMILIES = ["sd", "bk-sdm", "sdxl", "ssd-1b"]
PREDICTIONS = ["sd v_prediction", "sdxl v_prediction", "sd sample", "sdxl sample"]
NOT_IN_DIFFUSERS = {("sd sample", "euler_ancestral"), ("sdxl sample", "euler_ancestral")}
TINY_DECODERS = ["sd with a tiny decoder", "sdxl with a tiny decoder"]


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("scheduler", ORACLES)
@pytest.mark.parametrize("rom", FAMILIES)
def test_latents_are_those_of_the_pipeline(pairs: Pairs, rom: str, scheduler: str, guidance_scale: float) -> None:
    pairs[rom].assert_same_latents(scheduler=scheduler, guidance_scale=guidance_scale)


@pytest.mark.parametrize(
    ("rom", "scheduler"), [case for case in itertools.product(PREDICTIONS, ORACLES) if case not in NOT_IN_DIFFUSERS]
)
def test_latents_of_every_prediction_type_are_those_of_the_pipeline(pairs: Pairs, rom: str, scheduler: str) -> None:
    pairs[rom].assert_same_latents(scheduler=scheduler)


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("rom", [*FAMILIES, *PREDICTIONS, "sd-text", "sdxl with latents_mean"])
def test_pixels_are_those_of_the_pipeline(pairs: Pairs, rom: str, guidance_scale: float) -> None:
    pairs[rom].assert_same_pixels(guidance_scale=guidance_scale)


@pytest.mark.parametrize(("width", "height"), [(24, 32), (40, 16), (8, 24)])
@pytest.mark.parametrize("rom", FAMILIES)
def test_other_shapes_are_those_of_the_pipeline(pairs: Pairs, rom: str, width: int, height: int) -> None:
    pairs[rom].assert_same_latents(scheduler="euler", width=width, height=height)


@pytest.mark.parametrize("rom", TINY_DECODERS)
def test_tiny_decoder_paints_as_the_pipeline_does_with_it_for_its_own(
    pairs: Pairs, rom: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pairs[rom]
    full = pair.theirs("pil")[0]
    tiny = AutoencoderTiny.from_pretrained(pair.directory / "vae_tiny", local_files_only=True)
    monkeypatch.setattr(pair.pipeline("text-to-image", "ddim"), "vae", tiny)
    assert_pixels(pair.ours(decoder="tiny"), pair.theirs("pil")[0])
    assert_pixels(pair.ours(decoder="full"), full)


def test_oracle_can_tell_two_seeds_apart(pairs: Pairs) -> None:
    state = pairs["sd"].ours(seeds=(SEED + 1,))
    with pytest.raises(AssertionError):
        assert_near(latents_of(state), pairs["sd"].theirs("latent"))


@pytest.mark.parametrize("offset", [{}, {"steps_offset": 0}], ids=["none told", "another told"])
@pytest.mark.parametrize("architecture", ["sd", "sdxl"])
def test_offset_of_the_steps_is_that_of_the_pipeline(tmp_path: Path, architecture: Any, offset: dict[str, int]) -> None:
    """Stable Diffusion's pipelines have one of 1 whatever the file says; those of XL do as it says."""
    told = {name: value for name, value in STABLE_DIFFUSION_SCHEDULE.items() if name != "steps_offset"}
    pair = Pair(build_tiny_rom(tmp_path / "rom", TinyRom(architecture, scheduler_config=told | offset)))
    without = {} if architecture == "sdxl" else {"safety_checker": None}
    pipeline = DiffusionPipeline.from_pretrained(pair.directory, local_files_only=True, **without)
    assert pair.backend.info.noise_schedule.steps_offset == pipeline.scheduler.config.steps_offset
