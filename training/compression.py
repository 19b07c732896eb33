"""A ROM that draws what another does with a smaller U-Net."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.roms.manifest import RomManifest
from training.base import BaseRom
from training.block_distillation import DistillationWeights, distil_blocks
from training.block_removal import BlockRemoval, remove_blocks
from training.diffusion import DiffusionConfig
from training.domains.domain import Domain
from training.export import Release


@dataclass(frozen=True)
class Compression:
    """A recipe: whose U-Net to make smaller, what to leave of it and how long to train."""

    manifest: RomManifest
    base: str  # id of the ROM, in the same store
    removal: BlockRemoval
    domain: Domain[Any]  # that of the base
    samples: tuple[str, ...]  # prompts of the sample sheet
    diffusion: DiffusionConfig  # its sizes are those of the base
    weights: DistillationWeights

    def make(self, work: Path, store: Path) -> None:
        base = BaseRom.open(store, self.base, self.manifest.id)
        work, student = base.folder(work), remove_blocks(base.unet, self.removal)
        student = distil_blocks(self.diffusion, self.weights, self.domain, base.conditions, base.unet, student, work)
        base.publish(student, Release(self.manifest, self.samples, ("distillation",), work, store))

    def smoke(self) -> Compression:
        return replace(self, diffusion=self.diffusion.smoke())
