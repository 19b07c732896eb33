"""What was asked, plus what the ROM's preset gives, within the ROM's limits: what will be done."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from app.core import SCHEDULERS, Decoder, GenerationParams, Notice, Prompt, ResolvedParams, Task
from app.errors import InvalidRequest
from app.imaging import Source
from app.roms.manifest import NO_PRESET, Preset, RomManifest

MAX_SEED = 2**63 - 1
_DEFAULT_STRENGTHS: Mapping[Task, float] = {"text-to-image": 1.0, "image-to-image": 0.8, "inpainting": 1.0}


@dataclass(frozen=True)
class ModelDefaults:
    """What the loaded model itself prescribes."""

    size: int  # pixels, square
    size_multiple: int  # pixels: width and height are multiples of it
    scheduler: str
    unoffered_scheduler: str | None  # why what its files ask for cannot be, where `scheduler` stands in for it
    num_train_timesteps: int
    is_inpainting: bool = False  # made for inpainting alone
    decoders: tuple[Decoder, ...] = ("full",)


def resolve(
    params: GenerationParams, manifest: RomManifest, model: ModelDefaults, source: Source | None = None
) -> tuple[ResolvedParams, list[Notice]]:
    """Fill in defaults and check limits. Raises InvalidRequest naming the field."""
    preset = _preset(params, manifest)
    task = _task(source, manifest, model)
    notices: list[Notice] = []
    steps = _steps(params, preset, manifest, model)
    strength = _strength(params, task, steps)
    width, height = _size(params, preset, manifest, model, source)
    if source is not None and source.image.shape[:2] != (height, width):
        detail = f"{source.image.shape[1]}x{source.image.shape[0]} was resized to {width}x{height}"
        notices.append(Notice("changed", "image", detail))
    guidance = preset.guidance_scale if params.guidance_scale is None else params.guidance_scale
    scheduler = params.scheduler or preset.scheduler or model.scheduler
    notices += _scheduler_notices(scheduler, manifest, model, is_chosen=bool(params.scheduler or preset.scheduler))
    negative = params.negative_prompt
    if negative is None and params.preset != NO_PRESET:
        negative = manifest.negative_prompt or None
    if guidance <= 1:
        asked = {"negative_prompt": params.negative_prompt, "guidance_interval": params.guidance_interval}
        useless = "has no effect at a guidance_scale of 1 or less"
        notices += [Notice("ignored", name, useless) for name, value in asked.items() if value]
    resolved = ResolvedParams(
        prompt=_prompt(params, manifest),
        negative_prompt=negative,
        num_inference_steps=steps,
        guidance_scale=guidance,
        guidance_interval=params.guidance_interval or preset.guidance_interval,
        scheduler=scheduler,
        seeds=seeds_of(params, manifest),
        width=width,
        height=height,
        preset=params.preset,
        task=task,
        strength=strength,
        decoder=_decoder(params, preset, manifest, model),
        long_prompts=params.long_prompts or preset.long_prompts,
    )
    if resolved.do_classifier_free_guidance and not any(map(resolved.is_guided, range(resolved.denoising_steps))):
        notices.append(Notice("no_effect", "guidance_interval", "covers none of the steps: they go without guidance"))
    return resolved, notices


def offered_schedulers(manifest: RomManifest, own: str | None) -> tuple[str, ...]:
    """Our tables, and the classes of diffusers that the ROM names: in its files, or in a preset."""
    named = (own, *(preset.scheduler for preset in manifest.presets.values()))
    return tuple(dict.fromkeys((*SCHEDULERS, *filter(None, named))))


def _scheduler_notices(scheduler: str, manifest: RomManifest, model: ModelDefaults, *, is_chosen: bool) -> list[Notice]:
    """Raises InvalidRequest for one that the ROM does not offer."""
    offered = offered_schedulers(manifest, model.scheduler)
    if scheduler not in offered:
        raise InvalidRequest(f"{scheduler!r} is not offered; offered: {', '.join(offered)}", param="scheduler")
    if scheduler not in SCHEDULERS:
        detail = f"{scheduler} is stepped by diffusers' own object, image by image"
        return [Notice("scheduler_adapter", "scheduler", detail)]
    if model.unoffered_scheduler and not is_chosen:
        detail = f"the ROM's own scheduler does not work here; {scheduler} is used ({model.unoffered_scheduler})"
        return [Notice("substituted", "scheduler", detail)]
    return []


def _steps(params: GenerationParams, preset: Preset, manifest: RomManifest, model: ModelDefaults) -> int:
    allowed = min(manifest.limits.max_steps, model.num_train_timesteps)
    steps = params.num_inference_steps or min(preset.num_inference_steps, allowed)
    if not 1 <= steps <= allowed:
        reason = f"must be 1 to {allowed} for ROM {manifest.id!r}, not {steps}"
        raise InvalidRequest(reason, param="num_inference_steps")
    return steps


def _prompt(params: GenerationParams, manifest: RomManifest) -> Prompt:
    if not params.prompts[0]:
        raise InvalidRequest(f"ROM {manifest.id!r} needs one", param="prompt")
    filled = tuple(params.prompts if params.preset == NO_PRESET else (_fill(one, manifest) for one in params.prompts))
    return filled[0] if isinstance(params.prompt, str) else filled


def _fill(prompt: str, manifest: RomManifest) -> str:
    """What the ROM makes of a prompt: the trigger words that it does not have before it, and the template around it."""
    missing = (word for word in manifest.trigger_words if word.lower() not in prompt.lower())
    return manifest.prompt_template.replace("{prompt}", ", ".join((*missing, prompt)))


def _preset(params: GenerationParams, manifest: RomManifest) -> Preset:
    preset = manifest.preset(params.preset)
    if preset is None:
        known = ", ".join((*manifest.presets, NO_PRESET))
        raise InvalidRequest(f"ROM {manifest.id!r} has no preset {params.preset!r}; it has {known}", param="preset")
    return preset


def _task(source: Source | None, manifest: RomManifest, model: ModelDefaults) -> Task:
    if model.is_inpainting and (source is None or source.mask is None):
        missing = "image" if source is None else "mask_image"
        raise InvalidRequest(f"ROM {manifest.id!r} does nothing but inpainting, which needs it", param=missing)
    if source is None:
        return "text-to-image"
    return "image-to-image" if source.mask is None else "inpainting"


def _decoder(params: GenerationParams, preset: Preset, manifest: RomManifest, model: ModelDefaults) -> Decoder:
    decoder = params.decoder or preset.decoder
    if decoder not in model.decoders:
        raise InvalidRequest(
            f"ROM {manifest.id!r} has no {decoder} one; it has {', '.join(model.decoders)}", param="decoder"
        )
    return decoder


def _strength(params: GenerationParams, task: Task, steps: int) -> float:
    strength = _DEFAULT_STRENGTHS[task] if params.strength is None else params.strength
    if int(steps * strength) < 1:
        least = math.ceil(100 / steps) / 100
        raise InvalidRequest(f"{strength:g} of {steps} steps leaves none; at least {least:g}", param="strength")
    return strength


def _size(
    params: GenerationParams, preset: Preset, manifest: RomManifest, model: ModelDefaults, source: Source | None
) -> tuple[int, int]:
    """Width and height in pixels: as asked, or the source's in whole multiples, or the preset's, or the model's."""
    multiple, default = model.size_multiple, (preset.width or model.size, preset.height or model.size)
    if source is not None:
        default = (_whole(source.image.shape[1], multiple), _whole(source.image.shape[0], multiple))
    width = _side("width", params.width, default[0], multiple)
    height = _side("height", params.height, default[1], multiple)
    if width * height > manifest.limits.max_pixels:
        asked = "width" if params.width else "height" if params.height or source is None else "image"
        limit = f"{width}x{height} is above the {manifest.limits.max_pixels} pixels that ROM {manifest.id!r} allows"
        raise InvalidRequest(f"{limit}; give width and height" if asked == "image" else limit, param=asked)
    return width, height


def _whole(side: int, multiple: int) -> int:
    return max(multiple, side // multiple * multiple)


def _side(name: str, asked: int | None, default: int, multiple: int) -> int:
    side = default if asked is None else asked
    if side < multiple or side % multiple:
        near = max(multiple, round(side / multiple) * multiple)
        raise InvalidRequest(f"must be a multiple of {multiple}, not {side}; nearest: {near}", param=name)
    return side


def seeds_of(params: GenerationParams, manifest: RomManifest) -> tuple[int, ...]:
    """One seed an image: as given, or `seed` counted up, or a random one counted up."""
    prompts, count = len(params.prompts), params.num_images
    if count % prompts:
        raise InvalidRequest(f"{count} are not as many for each of {prompts} prompts", param="seeds")
    if count > manifest.limits.max_batch:
        several = "prompt" if prompts > 1 else "num_images_per_prompt"
        name = "seeds" if params.seeds is not None else several
        raise InvalidRequest(f"ROM {manifest.id!r} makes at most {manifest.limits.max_batch} images", param=name)
    if params.seeds is not None:
        return params.seeds
    first = params.seed if params.seed is not None else secrets.randbelow(2**32)
    return tuple((first + index) % (MAX_SEED + 1) for index in range(count))
