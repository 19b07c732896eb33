"""What was asked, plus what the ROM's preset gives, within the ROM's limits: what will be done."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from app.core import SCHEDULERS, GenerationParams, Notice, ResolvedParams
from app.errors import InvalidRequest
from app.roms.manifest import Preset, RomManifest

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class ModelDefaults:
    """What the loaded model itself prescribes."""

    size: int  # pixels, square
    size_multiple: int  # pixels: width and height are multiples of it
    scheduler: str
    unoffered_scheduler: str | None  # the class that its files name, where `scheduler` stands in for it
    num_train_timesteps: int


def resolve(
    params: GenerationParams, manifest: RomManifest, model: ModelDefaults
) -> tuple[ResolvedParams, list[Notice]]:
    """Fill in defaults and check limits. Raises InvalidRequest naming the field."""
    preset = _preset(params, manifest)
    notices: list[Notice] = []
    steps = params.num_inference_steps or preset.num_inference_steps
    allowed = min(manifest.limits.max_steps, model.num_train_timesteps)
    if not 1 <= steps <= allowed:
        raise InvalidRequest(
            f"must be 1 to {allowed} for ROM {manifest.id!r}, not {steps}", param="num_inference_steps"
        )
    width = _side("width", params.width, preset.width or model.size, model.size_multiple)
    height = _side("height", params.height, preset.height or model.size, model.size_multiple)
    if width * height > manifest.limits.max_pixels:
        raise InvalidRequest(
            f"{width}x{height} is above the {manifest.limits.max_pixels} pixels that ROM {manifest.id!r} allows",
            param="width" if params.width else "height",
        )
    guidance = preset.guidance_scale if params.guidance_scale is None else params.guidance_scale
    scheduler = params.scheduler or preset.scheduler or model.scheduler
    if scheduler not in SCHEDULERS:
        raise InvalidRequest(f"{scheduler!r} is not offered; offered: {', '.join(SCHEDULERS)}", param="scheduler")
    if model.unoffered_scheduler and not (params.scheduler or preset.scheduler):
        detail = f"the ROM's own {model.unoffered_scheduler} is not offered; {scheduler} is used"
        notices.append(Notice("substituted", "scheduler", detail))
    negative = params.negative_prompt if params.negative_prompt is not None else manifest.negative_prompt
    if params.negative_prompt and guidance <= 1:
        notices.append(Notice("ignored", "negative_prompt", "has no effect at a guidance_scale of 1 or less"))
    resolved = ResolvedParams(
        prompt=manifest.prompt_template.replace("{prompt}", params.prompt),
        negative_prompt=negative,
        num_inference_steps=steps,
        guidance_scale=guidance,
        scheduler=scheduler,
        seeds=_seeds(params, manifest),
        width=width,
        height=height,
        preset=params.preset,
    )
    return resolved, notices


def _preset(params: GenerationParams, manifest: RomManifest) -> Preset:
    if params.preset not in manifest.presets:
        known = ", ".join(manifest.presets)
        raise InvalidRequest(f"ROM {manifest.id!r} has no preset {params.preset!r}; it has {known}", param="preset")
    return manifest.presets[params.preset]


def _side(name: str, asked: int | None, default: int, multiple: int) -> int:
    side = default if asked is None else asked
    if side < multiple or side % multiple:
        near = max(multiple, round(side / multiple) * multiple)
        raise InvalidRequest(f"must be a multiple of {multiple}, not {side}; nearest: {near}", param=name)
    return side


def _seeds(params: GenerationParams, manifest: RomManifest) -> tuple[int, ...]:
    """One seed an image: as given, or `seed` counted up, or a random one counted up."""
    count = len(params.seeds) if params.seeds is not None else params.num_images_per_prompt
    if count > manifest.limits.max_batch:
        name = "seeds" if params.seeds is not None else "num_images_per_prompt"
        raise InvalidRequest(f"ROM {manifest.id!r} makes at most {manifest.limits.max_batch} images", param=name)
    if params.seeds is not None:
        return params.seeds
    first = params.seed if params.seed is not None else secrets.randbelow(2**32)
    return tuple((first + index) % (MAX_SEED + 1) for index in range(count))
