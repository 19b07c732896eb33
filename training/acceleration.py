"""A ROM that draws what another does in fewer steps, and without guidance: a LoRA over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.roms.manifest import RomManifest
from training.base import BaseRom
from training.diffusion import DiffusionConfig
from training.domains.domain import Domain
from training.export import Release
from training.few_steps import distil_steps, stage_name


@dataclass(frozen=True)
class Acceleration:
    """A recipe: whose U-Net to hurry, in which rounds and how long each trains."""

    manifest: RomManifest
    base: str  # id of the ROM, in the same store
    rank: int  # of the LoRA that holds what the last student has learnt
    guidance_scale: float  # that is folded in
    rounds: tuple[int, ...]  # the steps that the student of each is to take
    domain: Domain[Any]  # that of the base
    samples: tuple[str, ...]  # prompts of the sample sheet
    diffusion: DiffusionConfig  # its sizes are those of the base, its loop is that of each round

    def make(self, work: Path, store: Path) -> None:
        base = BaseRom.open(store, self.base, self.manifest.id)
        work = base.folder(work)
        student = distil_steps(
            self.diffusion, self.rounds, self.guidance_scale, self.domain, base.conditions, base.unet, work
        )
        stages = [stage_name(steps) for steps in self.rounds]
        base.publish_lora(student, self.rank, Release(self.manifest, self.samples, stages, work, store))

    def smoke(self) -> Acceleration:
        return replace(self, diffusion=self.diffusion.smoke())
