"""A finished ROM that another one is made from: both share all but the U-Net."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from app.roms.manifest import INDEX_NAME, read_manifest
from evaluation.rom import load_pipeline
from training.denoising import Conditions
from training.diffusion import new_scheduler
from training.export import Release, build_pipeline, publish, write_image_rom
from training.low_rank import lay_difference, save_lora

_SHARED = ("tokenizer", "text_encoder", "vae")


class MissingBaseError(Exception):
    """The store does not hold the ROM that a recipe starts from."""


@dataclass(frozen=True)
class BaseRom:
    """In float32, on the fastest device there is."""

    directory: Path
    pipeline: StableDiffusionPipeline

    @classmethod
    def open(cls, store: Path, rom_id: str, wanted_by: str) -> BaseRom:
        """Raises MissingBaseError, which says what to make first, where the store does not hold it."""
        directory = store / rom_id
        if not (directory / INDEX_NAME).is_file():
            raise MissingBaseError(f"{directory} is no ROM: make {rom_id} first, it is where {wanted_by} starts")
        return cls(directory, load_pipeline(directory))

    @property
    def unet(self) -> UNet2DConditionModel:
        return self.pipeline.unet

    @property
    def conditions(self) -> Conditions:
        text_encoder, vae = self.pipeline.text_encoder, self.pipeline.vae
        return Conditions(self.pipeline.tokenizer, text_encoder.requires_grad_(False), vae.requires_grad_(False))

    def folder(self, work: Path, component: str = "") -> Path:
        """Below `work`, new if need be: another base has checkpoints and latents of its own.

        Bases with the same `component` are the same, where one is named.
        """
        files = read_manifest(self.directory).files
        digests = "".join(file.sha256 for file in files if file.path.startswith(component))
        folder = work / f"from-{hashlib.sha256(digests.encode()).hexdigest()[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, unet: UNet2DConditionModel, release: Release, *, zero_snr: bool = True) -> None:
        """Write the ROM of another U-Net; all that is shared is copied byte for byte.

        The models are in half precision afterwards.
        """
        own = self.pipeline
        pipeline = build_pipeline(own.vae, own.text_encoder, own.tokenizer, unet, new_scheduler(zero_snr=zero_snr))
        publish(pipeline, release, {name: self.directory / name for name in _SHARED})

    def publish_lora(self, unet: UNet2DConditionModel, rank: int, release: Release) -> None:
        """Write what another U-Net has learnt as a LoRA over this ROM.

        The base's U-Net has the LoRA afterwards.
        """
        lay_difference(self.unet, unet, rank)
        write_image_rom(lambda folder: save_lora(self.unet.half(), folder), release)
