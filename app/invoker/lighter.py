"""What a `degrade` request can be brought down to, in the order that its ROM's preset declares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from app.core import Notice, ResolvedParams
from app.errors import Overloaded
from app.roms.manifest import Preset


def lighter_versions(
    asked: ResolvedParams, refusal: Overloaded, preset: Preset, size_multiple: int
) -> Iterator[tuple[ResolvedParams, Notice]]:
    """Parameters of the same ROM that take less time, each with what to tell the caller."""
    for way in preset.degrade:
        if way == "steps":
            for steps in _fewer_steps(asked, refusal, preset):
                detail = f"{asked.num_inference_steps} would not fit the time budget; {steps} are taken"
                yield replace(asked, num_inference_steps=steps), Notice("degraded", "num_inference_steps", detail)
        if way == "size":
            width, height = (_half(side, size_multiple) for side in (asked.width, asked.height))
            if (width, height) != (asked.width, asked.height):
                detail = (
                    f"{asked.width}x{asked.height} would not fit the time budget; made at {width}x{height} and enlarged"
                )
                yield replace(asked, width=width, height=height), Notice("degraded", "width", detail)


def _fewer_steps(asked: ResolvedParams, refusal: Overloaded, preset: Preset) -> list[int]:
    """What would have fitted a moment ago, and a little less, for time has passed since; none that is not worth it."""
    if refusal.fits is None or refusal.fits.width is not None:
        return []
    fitting = refusal.fits.num_inference_steps
    least = math.ceil(asked.num_inference_steps * preset.partial_share)
    return [steps for steps in (fitting, fitting * 3 // 4) if steps >= least]


def _half(side: int, multiple: int) -> int:
    return max(multiple, side // 2 // multiple * multiple)
