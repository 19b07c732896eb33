"""How a ROM generates when nobody says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from training.scenes import IMAGE_SIZE


@dataclass(frozen=True)
class Preset:
    """Generation parameters in diffusers' words; sizes in pixels."""

    num_inference_steps: int = 20
    guidance_scale: float = 7.5
    width: int = IMAGE_SIZE
    height: int = IMAGE_SIZE


def read_preset(directory: Path) -> Preset:
    """The default preset of rom.yaml; what it leaves out, or a ROM without the file, takes the values of `Preset`.

    Raises yaml.YAMLError when the file is no YAML.
    """
    manifest = directory / "rom.yaml"
    if not manifest.is_file():
        return Preset()
    document: dict[str, Any] = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    asked = document.get("presets", {}).get("default", {})
    return replace(Preset(), **{field.name: asked[field.name] for field in fields(Preset) if field.name in asked})
