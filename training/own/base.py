"""The ROM that a user's images are taught to, and the CLIP that judges their captions."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline

from app.backends.clip import Clip
from app.errors import ManifestError
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME, RomManifest, read_json, read_manifest
from app.roms.selection import select
from evaluation.rom import load_pipeline
from training.denoising import Conditions
from training.own.errors import OwnDataError

_FAMILY = "stable_diffusion"
_TAUGHT = "unet"


@dataclass(frozen=True)
class Base:
    """A ROM of Stable Diffusion, loaded."""

    directory: Path
    manifest: RomManifest
    pipeline: StableDiffusionPipeline

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its images in pixels: of its default preset, else of its U-Net."""
        preset = self.manifest.presets["default"]
        own: int = self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor
        return preset.width or own, preset.height or own

    @property
    def conditions(self) -> Conditions:
        text_encoder, vae = self.pipeline.text_encoder, self.pipeline.vae
        return Conditions(self.pipeline.tokenizer, text_encoder.requires_grad_(False), vae.requires_grad_(False))

    @property
    def scheduler(self) -> DDIMScheduler:
        """Its noise schedule and prediction type."""
        return DDIMScheduler.from_config(self.pipeline.scheduler.config)

    def copy_but_unet(self, folder: Path) -> None:
        """Every other file that is needed to run it, byte for byte."""
        paths = [path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*") if path.is_file()]
        needed = select(paths, read_json(self.directory / INDEX_NAME), self.manifest)
        for name in (*needed.large, *needed.small):
            if name != MANIFEST_NAME and not name.startswith(f"{_TAUGHT}/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.directory / name, folder / name)


def open_base(store: Path, rom_id: str) -> Base:
    """Load the ROM. Raises OwnDataError where there is none, or none that can be taught."""
    directory = store / rom_id
    try:
        manifest = read_manifest(directory)
        if manifest.base is not None:
            raise OwnDataError(f"{rom_id} is itself a LoRA; its base can be taught: --base {manifest.base}")
        if manifest.family != _FAMILY:
            raise OwnDataError(f"{rom_id} is of the family {manifest.family!r}; only {_FAMILY} can be taught")
        if not (directory / INDEX_NAME).is_file():
            raise OwnDataError(f"{directory} has no {INDEX_NAME}: only ROMs in diffusers' directories can be taught")
        base = Base(directory, manifest, load_pipeline(directory))
    except (ManifestError, OSError, ValueError) as error:
        raise OwnDataError(f"--base {rom_id}: {directory} is no ROM that can be loaded: {error}") from error
    _check(base)
    return base


def open_clip(store: Path, asked: Path | None) -> tuple[Clip, Path] | None:
    """The CLIP asked for, else the first ROM in the store of the family clip, and its folder; None where there is none.

    Raises OwnDataError where the folder holds none.
    """
    folder = asked or next((path for path in sorted(store.glob("*")) if _is_clip(path)), None)
    if folder is None:
        return None
    try:
        return Clip.load(folder), folder
    except (OSError, ValueError) as error:
        raise OwnDataError(f"{folder} cannot be loaded as a CLIP: {error}") from error


def _is_clip(directory: Path) -> bool:
    try:
        return read_manifest(directory).family == "clip"
    except ManifestError:
        return False


def _check(base: Base) -> None:
    pipeline, name = base.pipeline, base.manifest.id
    if not isinstance(pipeline.vae, AutoencoderKL):
        raise OwnDataError(f"{name} has an autoencoder that is no AutoencoderKL: {type(pipeline.vae).__name__}")
    channels = pipeline.unet.config.in_channels
    if channels != pipeline.vae.config.latent_channels:
        raise OwnDataError(f"{name} is for inpainting: its U-Net has {channels} input channels; it cannot be taught")
    if "beta_schedule" not in pipeline.scheduler.config:
        raise OwnDataError(f"{name} has a scheduler without betas: {type(pipeline.scheduler).__name__}")
