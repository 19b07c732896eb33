"""A ROM: one self-contained, swappable image model - weights, presets, and the domain it is good at.

`rom.yaml` in the ROM's directory describes it. A plain diffusers directory without one is a ROM with defaults.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.core import ADAPTED_SCHEDULERS, SCHEDULERS, Decoder, LongPrompts
from app.errors import ManifestError
from app.roms.domain import Domain, Words

ROM_ID = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")
MANIFEST_NAME = "rom.yaml"
INDEX_NAME = "model_index.json"
TINY_DECODER = "vae_tiny"  # the folder of an AutoencoderTiny beside the full autoencoder
NO_PRESET = "none"  # asked for by those who want the model as it is
UPSCALER_FAMILY = "upscaler"
EMBEDDER_FAMILY = "clip"
INSTRUMENT_FAMILIES = (EMBEDDER_FAMILY, "vq")  # models that others use: they make no images by themselves
_FAMILY_OF_PIPELINE = {
    "StableDiffusionPipeline": "stable_diffusion",
    "StableDiffusionImg2ImgPipeline": "stable_diffusion",
    "StableDiffusionInpaintPipeline": "stable_diffusion",
    "StableDiffusionXLPipeline": "stable_diffusion_xl",
    "StableDiffusionXLImg2ImgPipeline": "stable_diffusion_xl",
    "StableDiffusionXLInpaintPipeline": "stable_diffusion_xl",
    "StableDiffusionUpscalePipeline": UPSCALER_FAMILY,
    "SRResNetPipeline": UPSCALER_FAMILY,
}
Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Preset(_Frozen):
    """What a request gets where it asks for nothing. None: the model's own files decide."""

    num_inference_steps: int = Field(default=30, ge=1)
    guidance_scale: float = Field(default=7.5, ge=0)
    guidance_interval: tuple[Share, Share] = (0.0, 1.0)
    scheduler: str | None = None
    width: int | None = Field(default=None, ge=8)  # pixels
    height: int | None = Field(default=None, ge=8)  # pixels
    decoder: Decoder = "full"
    long_prompts: LongPrompts = "truncate"
    partial_share: float = Field(default=0.5, gt=0, le=1)  # of the steps: the least that is worth accepting
    degrade: tuple[Literal["steps", "size", "twin"], ...] = ("steps", "size", "twin")  # tried in this order
    twin: str | None = Field(default=None, pattern=ROM_ID.pattern)  # a faster ROM of the same domain

    @field_validator("scheduler")
    @classmethod
    def _is_offered(cls, scheduler: str | None) -> str | None:
        if scheduler not in (None, *SCHEDULERS, *ADAPTED_SCHEDULERS):
            raise ValueError(f"{scheduler!r} is not offered; offered: {', '.join((*SCHEDULERS, *ADAPTED_SCHEDULERS))}")
        return scheduler

    @field_validator("guidance_interval")
    @classmethod
    def _starts_before_it_stops(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if interval[0] >= interval[1]:
            raise ValueError("must start before it stops")
        return interval

    @field_validator("degrade")
    @classmethod
    def _twin_last(cls, ways: tuple[str, ...]) -> tuple[str, ...]:
        if "twin" in ways[:-1]:
            raise ValueError("twin comes last: another ROM has its own steps and sizes")
        return ways


class Limits(_Frozen):
    """Bounds of one request."""

    max_pixels: int = Field(default=1024 * 1024, ge=64)  # width * height
    max_steps: int = Field(default=150, ge=1)
    max_batch: int = Field(default=8, ge=1)  # images


class Expected(_Frozen):
    """What is to be expected of the ROM before it has run here."""

    memory_bytes: int | None = Field(default=None, ge=0)  # loaded, in half precision
    speed_ratio: float | None = Field(default=None, gt=0)  # steps a second, over those of another of its domain


class RomFile(_Frozen):
    path: str = Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._ -]*/)*[A-Za-z0-9_][A-Za-z0-9._ -]*$")  # stays in the ROM
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class RomManifest(_Frozen):
    id: str = Field(pattern=ROM_ID.pattern)
    revision: str = "1"
    title: str = ""
    family: str = ""  # empty: that of the base, or of the file that is the whole model
    base: str | None = Field(default=None, pattern=ROM_ID.pattern)  # the ROM that a LoRA is laid over
    lora_scale: float = Field(default=1.0, allow_inf_nan=False)
    license: str = ""
    source: str = ""
    domain: Domain = Domain()
    presets: dict[str, Preset] = {}
    prompt_template: str = "{prompt}"
    trigger_words: Words = ()  # that it was trained to answer to; put before a prompt that has them not
    negative_prompt: str = ""
    limits: Limits = Limits()
    expected: Expected = Expected()
    files: tuple[RomFile, ...] = ()

    def preset(self, name: str) -> Preset | None:
        """The preset of this name; `none` is there in every ROM, and adds nothing."""
        return Preset() if name == NO_PRESET else self.presets.get(name)

    @property
    def domain_name(self) -> str:
        return self.domain.name or self.id

    @model_validator(mode="after")
    def _complete(self) -> RomManifest:
        if NO_PRESET in self.presets:
            raise ValueError(f"presets: {NO_PRESET!r} is the name of what adds nothing")
        if "{prompt}" not in self.prompt_template:
            raise ValueError("prompt_template must contain {prompt}")
        if self.base == self.id:
            raise ValueError("base: a ROM cannot be its own")
        if self.base is None and "lora_scale" in self.model_fields_set:
            raise ValueError("lora_scale is of a LoRA, which has a base")
        if "default" not in self.presets:
            object.__setattr__(self, "presets", {"default": Preset(), **self.presets})
        return self


def read_manifest(directory: Path) -> RomManifest:
    """The manifest of the ROM in `directory`. Raises ManifestError naming the file and the field."""
    path = directory / MANIFEST_NAME
    if not path.exists():
        return _default_manifest(directory)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date of month 13
        raise ManifestError(f"{MANIFEST_NAME} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{MANIFEST_NAME} must hold a mapping")
    try:
        return RomManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise ManifestError(": ".join(filter(None, (MANIFEST_NAME, field, reason)))) from error


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises ManifestError naming the file, and its folder in the ROM."""
    name = path.name if path.name == INDEX_NAME else f"{path.parent.name}/{path.name}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{name} must hold an object")
    return content


def of_family(manifest: RomManifest, family: str, whose: str) -> RomManifest:
    """A manifest that need not tell its family. Raises ManifestError where it tells another."""
    if manifest.family not in ("", family):
        raise ManifestError(f"{MANIFEST_NAME}: family: {manifest.family!r}, and that of {whose} is {family!r}")
    return manifest.model_copy(update={"family": family})


def slug(name: str) -> str:
    """A ROM id made from a directory name."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63] or "rom"


def family_of_index(directory: Path) -> str:
    """The family of a diffusers directory, by its pipeline. Raises ManifestError where none loads such a pipeline."""
    pipeline = read_json(directory / INDEX_NAME).get("_class_name")
    family = _FAMILY_OF_PIPELINE.get(str(pipeline))
    if family is None:
        known = ", ".join(_FAMILY_OF_PIPELINE)
        raise ManifestError(f"{INDEX_NAME}: pipeline class {pipeline!r} is not supported; supported: {known}")
    return family


def _default_manifest(directory: Path) -> RomManifest:
    family = family_of_index(directory)
    return RomManifest(id=slug(directory.name), title=directory.name, family=family)
