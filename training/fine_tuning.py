"""A finished text-to-image ROM taught another domain: its U-Net learns on, all the rest stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.roms.manifest import RomManifest
from training.base import BaseRom
from training.diffusion import DiffusionConfig, train_diffusion
from training.domains.domain import Domain
from training.export import Release


@dataclass(frozen=True)
class FineTuning:
    """A recipe: which ROM to start from, what to draw and how long to train."""

    manifest: RomManifest
    base: str  # id of the ROM, in the same store
    domain: Domain[Any]
    samples: tuple[str, ...]  # prompts of the sample sheet
    diffusion: DiffusionConfig  # its sizes are those of the base

    def make(self, work: Path, store: Path) -> None:
        base = BaseRom.open(store, self.base, self.manifest.id)
        work = base.folder(work)
        unet = train_diffusion(self.diffusion, self.domain, base.conditions, base.unet, work)
        base.publish(unet, Release(self.manifest, self.samples, ("diffusion",), work, store))

    def smoke(self) -> FineTuning:
        return replace(self, diffusion=self.diffusion.smoke())
