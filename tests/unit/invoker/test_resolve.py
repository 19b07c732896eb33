"""What was asked, plus the ROM's preset, within the ROM's limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.core import SCHEDULERS, GenerationParams, Notice, ResolvedParams
from app.errors import InvalidRequest
from app.imaging import Source
from app.invoker.resolve import MAX_SEED, ModelDefaults, resolve
from app.roms.manifest import RomManifest

MODEL = ModelDefaults(size=64, size_multiple=8, scheduler="ddim", unoffered_scheduler=None, num_train_timesteps=1000)
IMAGE = np.zeros((64, 64, 3), np.uint8)
ROM: dict[str, Any] = {
    "id": "shapes",
    "family": "fake",
    "prompt_template": "{prompt}, flat",
    "negative_prompt": "blurry",
    "presets": {
        "default": {"num_inference_steps": 20, "guidance_scale": 3.0},
        "fast": {"num_inference_steps": 4, "guidance_scale": 0.0, "scheduler": "euler", "width": 32, "height": 48},
    },
    "limits": {"max_pixels": 128 * 64, "max_steps": 50, "max_batch": 4},
}


def resolved(model: ModelDefaults = MODEL, **asked: Any) -> tuple[ResolvedParams, list[Notice]]:
    return resolve(GenerationParams(**({"prompt": "a circle"} | asked)), RomManifest.model_validate(ROM), model)


def refused(**asked: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        resolved(**asked)
    return raised.value


def test_nothing_asked_is_all_default() -> None:
    params, notices = resolved(seed=7)
    assert notices == []
    assert params == ResolvedParams(
        prompt="a circle, flat",
        negative_prompt="blurry",
        num_inference_steps=20,
        guidance_scale=3.0,
        scheduler="ddim",
        seeds=(7,),
        width=64,
        height=64,
        preset="default",
    )


@pytest.mark.parametrize(
    ("asked", "field", "expected"),
    [
        ({"preset": "fast"}, "num_inference_steps", 4),
        ({"preset": "fast"}, "guidance_scale", 0.0),
        ({"preset": "fast"}, "scheduler", "euler"),
        ({"preset": "fast"}, "width", 32),
        ({"preset": "fast"}, "height", 48),
        ({"preset": "fast", "num_inference_steps": 9}, "num_inference_steps", 9),
        ({"preset": "fast", "scheduler": "ddpm"}, "scheduler", "ddpm"),
        ({"preset": "fast", "width": 40}, "width", 40),
        ({"guidance_scale": 0.0}, "guidance_scale", 0.0),
        ({"num_inference_steps": 1}, "num_inference_steps", 1),
        ({"num_inference_steps": 50}, "num_inference_steps", 50),
        ({"width": 128}, "width", 128),
        ({"width": 8}, "width", 8),
        ({"negative_prompt": "grey"}, "negative_prompt", "grey"),
        ({"negative_prompt": ""}, "negative_prompt", ""),
        ({"seed": 0}, "seeds", (0,)),
        ({"seed": 5, "num_images_per_prompt": 3}, "seeds", (5, 6, 7)),
        ({"seed": MAX_SEED, "num_images_per_prompt": 2}, "seeds", (MAX_SEED, 0)),
        ({"seeds": (9, 9, 1)}, "seeds", (9, 9, 1)),
    ],
)
def test_asked_beats_preset_beats_model(asked: dict[str, Any], field: str, expected: object) -> None:
    assert getattr(resolved(**asked)[0], field) == expected


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"preset": "slow"}, "preset"),
        ({"num_inference_steps": 51}, "num_inference_steps"),
        ({"scheduler": "plms"}, "scheduler"),
        ({"width": 60}, "width"),
        ({"height": 65}, "height"),
        ({"width": 4}, "width"),
        ({"width": 136}, "width"),
        ({"height": 136}, "height"),
        ({"num_images_per_prompt": 5}, "num_images_per_prompt"),
        ({"seeds": (1, 2, 3, 4, 5)}, "seeds"),
    ],
)
def test_what_the_rom_does_not_allow_is_refused_by_name(asked: dict[str, Any], param: str) -> None:
    assert refused(**asked).param == param


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"preset": "slow"}, "default, fast"),
        ({"num_inference_steps": 51}, "1 to 50"),
        ({"scheduler": "plms"}, ", ".join(SCHEDULERS)),
        ({"width": 60}, "nearest: 64"),
        ({"width": 4}, "nearest: 8"),
        ({"num_images_per_prompt": 5}, "at most 4"),
    ],
)
def test_refusal_says_what_would_do(asked: dict[str, Any], told: str) -> None:
    assert told in refused(**asked).message


@pytest.mark.parametrize("chosen", ["asked", "preset"])
def test_decoder_that_the_model_has_not_is_refused_with_those_it_has(chosen: str) -> None:
    presets = {"default": {"decoder": "tiny"}} if chosen == "preset" else {}
    manifest = RomManifest.model_validate(ROM | {"presets": presets})
    asked = GenerationParams("a circle", decoder="tiny" if chosen == "asked" else None)
    with pytest.raises(InvalidRequest, match=r"has no tiny one; it has full$") as raised:
        resolve(asked, manifest, MODEL)
    assert raised.value.param == "decoder"
    both = replace(MODEL, decoders=("full", "tiny"))
    assert resolve(asked, manifest, both)[0].decoder == "tiny"


@pytest.mark.parametrize(("source", "param"), [(None, "image"), (Source(IMAGE), "mask_image")])
def test_model_for_inpainting_alone_names_what_it_lacks(source: Source | None, param: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing but inpainting") as raised:
        resolve(
            GenerationParams("a circle"), RomManifest.model_validate(ROM), replace(MODEL, is_inpainting=True), source
        )
    assert raised.value.param == param


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 20), (0.999, 19), (0.05, 1)])
def test_strength_is_the_share_of_the_steps_that_are_taken(strength: float, steps: int) -> None:
    asked = GenerationParams("a circle", strength=strength)
    assert resolve(asked, RomManifest.model_validate(ROM), MODEL, Source(IMAGE))[0].denoising_steps == steps


@pytest.mark.parametrize("strength", [0.0, 0.049])
def test_strength_that_leaves_no_step_is_refused_with_the_least_that_does(strength: float) -> None:
    asked = GenerationParams("a circle", strength=strength)
    with pytest.raises(InvalidRequest, match=r"at least 0\.05$") as raised:
        resolve(asked, RomManifest.model_validate(ROM), MODEL, Source(IMAGE))
    assert raised.value.param == "strength"


def test_steps_never_exceed_what_the_model_was_trained_on() -> None:
    with pytest.raises(InvalidRequest, match="1 to 10"):
        resolved(replace(MODEL, num_train_timesteps=10), num_inference_steps=11)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_can_be_asked_for(scheduler: str) -> None:
    assert resolved(scheduler=scheduler)[0].scheduler == scheduler


def test_random_seeds_differ_between_requests_and_count_up_within_one() -> None:
    first, second = (resolved(num_images_per_prompt=3)[0].seeds for _ in range(2))
    assert first == tuple(range(first[0], first[0] + 3))
    assert first != second


def test_braces_of_the_prompt_stay_as_they_are() -> None:
    assert resolved(prompt="{prompt} {0} {x}")[0].prompt == "{prompt} {0} {x}, flat"


@pytest.mark.parametrize(("guidance_scale", "params"), [(1.0, ["guidance_interval"]), (1.5, [])])
def test_guidance_interval_without_effect_is_told(guidance_scale: float, params: list[str]) -> None:
    notices = resolved(guidance_interval=(0.0, 0.5), guidance_scale=guidance_scale)[1]
    assert [notice.param for notice in notices] == params


@pytest.mark.parametrize(("guidance_scale", "warned"), [(0.0, True), (1.0, True), (1.5, False)])
def test_negative_prompt_without_effect_is_told(guidance_scale: float, warned: bool) -> None:
    notices = resolved(negative_prompt="grey", guidance_scale=guidance_scale)[1]
    assert [(notice.code, notice.param) for notice in notices] == ([("ignored", "negative_prompt")] if warned else [])


def test_negative_prompt_of_the_rom_alone_is_not_worth_a_warning() -> None:
    assert resolved(guidance_scale=1.0)[1] == []


def test_stand_in_for_the_roms_own_scheduler_is_told() -> None:
    model = replace(MODEL, scheduler="dpmpp_2m", unoffered_scheduler="PNDMScheduler")
    params, (notice,) = resolved(model)
    assert (params.scheduler, notice.code, notice.param) == ("dpmpp_2m", "substituted", "scheduler")
    assert "PNDMScheduler" in notice.detail


def test_class_of_the_roms_own_files_can_be_asked_for_and_is_told() -> None:
    model = replace(MODEL, scheduler="PNDMScheduler")
    for asked in ({}, {"scheduler": "PNDMScheduler"}):
        params, (notice,) = resolved(model, **asked)
        assert (params.scheduler, notice.code, notice.param) == ("PNDMScheduler", "scheduler_adapter", "scheduler")
        assert "PNDMScheduler" in notice.detail
    assert resolved(model, scheduler="ddim")[1] == []
    assert "PNDMScheduler" in refused(scheduler="PNDMScheduler").message  # of a ROM whose files do not name it
    with pytest.raises(InvalidRequest, match="unipc, lcm, PNDMScheduler"):
        resolved(model, scheduler="LMSDiscreteScheduler")


@pytest.mark.parametrize("asked", [{"scheduler": "ddim"}, {"preset": "fast"}])
def test_scheduler_that_somebody_chose_is_no_stand_in(asked: dict[str, Any]) -> None:
    assert resolved(replace(MODEL, unoffered_scheduler="PNDMScheduler"), **asked)[1] == []


def test_without_a_preset_the_model_is_taken_as_it_is() -> None:
    params, notices = resolved(preset="none", seed=7)
    assert notices == []
    assert (params.prompt, params.negative_prompt, params.preset) == ("a circle", None, "none")
    assert (params.num_inference_steps, params.guidance_scale, params.scheduler) == (30, 7.5, "ddim")


def test_what_is_asked_counts_without_a_preset_too() -> None:
    params, _ = resolved(preset="none", negative_prompt="dull", num_inference_steps=3)
    assert (params.negative_prompt, params.num_inference_steps) == ("dull", 3)


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("a fox", "mdjrny-v4 style, 4k, a fox, sharp"),
        ("a fox, MDJRNY-v4 style", "4k, a fox, MDJRNY-v4 style, sharp"),
    ],
)
def test_trigger_words_that_a_prompt_has_not_are_put_before_it(prompt: str, filled: str) -> None:
    words = {"trigger_words": ["mdjrny-v4 style", "4k"], "prompt_template": "{prompt}, sharp"}
    manifest = RomManifest.model_validate(ROM | words)
    assert resolve(GenerationParams(prompt), manifest, MODEL)[0].prompt == filled
