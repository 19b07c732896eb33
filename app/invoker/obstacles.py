"""Why a ROM cannot answer a request, as far as that is known before it is loaded."""

from __future__ import annotations

from collections.abc import Callable

from app.core import GenerationParams
from app.errors import OutOfRomMemory
from app.residency import Footprint
from app.roms.catalog import Rom
from app.roms.manifest import Preset
from app.roms.traits import Traits


def find_obstacle(params: GenerationParams, rom: Rom, traits: Traits, footprint_of: Callable[[Rom], Footprint]) -> str:
    """In a few words; empty where there is none. `footprint_of` raises OutOfRomMemory for a ROM that never fits."""
    preset = rom.manifest.preset(params.preset)
    if rom.is_upscaler:
        obstacle = _of_upscaler(params, rom)
    elif traits.needs_mask and params.mask_image is None:
        obstacle = "needs an image and a mask_image"
    elif not params.prompts[0]:
        obstacle = "needs a prompt"
    elif preset is None:
        obstacle = f"has no preset {params.preset!r}"
    else:
        obstacle = _above_limits(params, rom, preset, traits)
    if not obstacle:
        try:
            footprint_of(rom)
        except OutOfRomMemory:
            obstacle = "does not fit in memory"
    return obstacle


def _of_upscaler(params: GenerationParams, rom: Rom) -> str:
    if params.image is None:
        return "needs an image"
    if params.mask_image is not None:
        return "does not repaint"
    return "" if params.upscale in (None, *rom.factors) else f"does not enlarge {params.upscale} times"


def _above_limits(params: GenerationParams, rom: Rom, preset: Preset, traits: Traits) -> str:
    limits = rom.manifest.limits
    if params.num_images > limits.max_batch:
        return f"makes at most {limits.max_batch} images"
    if (params.num_inference_steps or 0) > limits.max_steps:
        return f"takes at most {limits.max_steps} steps"
    width, height = params.width or preset.width or traits.side, params.height or preset.height or traits.side
    if params.image is None and width and height and width * height > limits.max_pixels:
        return f"makes at most {limits.max_pixels} pixels"
    return ""
