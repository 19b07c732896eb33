"""Parameters of a small request."""

from __future__ import annotations

from typing import Any

from app.core import ResolvedParams


def make_params(**changes: Any) -> ResolvedParams:
    defaults: dict[str, Any] = {
        "prompt": "a lighthouse",
        "negative_prompt": "",
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
        "scheduler": "ddim",
        "seeds": (7,),
        "width": 16,
        "height": 16,
        "preset": "default",
    }
    return ResolvedParams(**(defaults | changes))
