"""What a person filled in, as the fields of a request."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from app.ui.offer import AUTO, NOT_ENLARGED


@dataclass(frozen=True)
class Form:
    """The inputs of the page in their order, as they were typed. What is blank is left to the ROM."""

    prompt: str
    negative_prompt: str | None
    model: str | None
    preset: str | None
    num_inference_steps: str | None
    guidance_scale: str | None
    seed: str | None
    num_images_per_prompt: str | None
    upscale: str | None

    @property
    def is_routed(self) -> bool:
        return self.model in (None, "", AUTO)

    def fields(self) -> dict[str, Any]:
        """What is wrong goes to the service as it is: it says best what it has against it."""
        numbers = ("num_inference_steps", "guidance_scale", "seed", "num_images_per_prompt")
        asked = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "model": AUTO if self.is_routed else self.model,
            "preset": self.preset,
            **{name: _number(getattr(self, name)) for name in numbers},
            "upscale": None if self.upscale == NOT_ENLARGED else _number(self.upscale),
        }
        return {name: value for name, value in asked.items() if name == "prompt" or value not in (None, "")}


def _number(text: str | None) -> int | float | str | None:
    """The number that it is; a text that is none stays one."""
    text = (text or "").strip()
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if math.isfinite(number):  # JSON has no other
            return number
    return text
