"""A finished text-to-image ROM taught another domain: its U-Net learns on, all the rest stays as it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.roms.manifest import INDEX_NAME, RomManifest, read_manifest
from evaluation.rom import load_pipeline
from training.denoising import Conditions
from training.diffusion import DiffusionConfig, new_scheduler, train_diffusion
from training.domains.domain import Domain
from training.export import build_pipeline, publish

_SHARED = ("tokenizer", "text_encoder", "vae")


class MissingBaseError(Exception):
    """The store does not hold the ROM that a recipe starts from."""


@dataclass(frozen=True)
class FineTuning:
    """A recipe: which ROM to start from, what to draw and how long to train."""

    manifest: RomManifest
    base: str  # id of the ROM, in the same store
    domain: Domain[Any]
    samples: tuple[str, ...]  # prompts of the sample sheet
    diffusion: DiffusionConfig  # its sizes are those of the base

    def make(self, work: Path, store: Path) -> None:
        base = store / self.base
        if not (base / INDEX_NAME).is_file():
            raise MissingBaseError(f"{base} is no ROM: make {self.base} first, it is where {self.manifest.id} starts")
        work = work / _digest(base)
        work.mkdir(parents=True, exist_ok=True)
        start = load_pipeline(base)
        tokenizer, text_encoder, vae = start.tokenizer, start.text_encoder, start.vae
        conditions = Conditions(tokenizer, text_encoder.requires_grad_(False), vae.requires_grad_(False))
        unet = train_diffusion(self.diffusion, self.domain, conditions, start.unet, work)
        pipeline = build_pipeline(vae, text_encoder, tokenizer, unet, new_scheduler())
        shared = {name: base / name for name in _SHARED}
        publish(pipeline, self.manifest, self.samples, ("diffusion",), work, store, shared)

    def smoke(self) -> FineTuning:
        return replace(self, diffusion=self.diffusion.smoke())


def _digest(base: Path) -> str:
    """Of all the base's files: another base has checkpoints and latents of its own."""
    digests = "".join(file.sha256 for file in read_manifest(base).files)
    return f"from-{hashlib.sha256(digests.encode()).hexdigest()[:12]}"
