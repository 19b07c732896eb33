"""ROM directories for tests that look at files and load nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from app.roms.catalog import Rom
from app.roms.components import Component
from app.roms.manifest import RomManifest
from tests.support.headers import write_safetensors

MODELS = ("text_encoder", "unet", "vae")


def write_manifest(directory: Path, **fields: Any) -> Path:
    """A ROM of the fake family, which needs no weights."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {"id": directory.name, "family": "fake"} | fields
    (directory / "rom.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return directory


def write_diffusers_directory(directory: Path, parameters: int = 10) -> Path:
    """The files of a Stable Diffusion pipeline, with `parameters` zeros a model."""
    components = {name: ["diffusers", name] for name in (*MODELS, "scheduler", "tokenizer")}
    for name in components:
        (directory / name).mkdir(parents=True)
    for name in MODELS:
        (directory / name / "config.json").write_text("{}", encoding="utf-8")
        write_safetensors(directory / name / "model.safetensors", {"weight": (parameters,)})
    index = {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None], **components}
    (directory / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return directory


def describe_file(directory: Path, path: str) -> dict[str, Any]:
    """An entry of `files`."""
    data = (directory / path).read_bytes()
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def make_rom(rom_id: str, num_parameters: int = 0, **fields: Any) -> Rom:
    """A ROM without a directory."""
    return rom_of_parts(rom_id, {rom_id: num_parameters}, **fields)


def rom_of_parts(rom_id: str, parts: dict[str, int], **fields: Any) -> Rom:
    """A ROM without a directory, of models with these numbers of parameters; those of one name are equal."""
    manifest = RomManifest.model_validate({"id": rom_id, "family": "fake"} | fields)
    components = (Component(name, "Fake", (f"{name}.safetensors",), size, name) for name, size in parts.items())
    return Rom(manifest, Path("/nowhere") / rom_id, tuple(components))
