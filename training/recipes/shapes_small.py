"""`shapes-small`: the U-Net of `shapes` with fewer blocks, taught by the whole one; both share all other files."""

from __future__ import annotations

from app.roms.manifest import RomManifest
from training.block_distillation import DistillationWeights
from training.block_removal import BlockRemoval
from training.compression import Compression
from training.diffusion import DiffusionConfig
from training.loop import LoopConfig
from training.recipes.shapes import SHAPES, weight_of

_MANIFEST = RomManifest(
    id="shapes-small",
    title="Coloured shapes on plain backgrounds, 128x128, by a U-Net of fewer blocks",
    family="stable_diffusion",
    license="Apache-2.0",
    source="the ROM shapes, blocks of its U-Net removed and the rest distilled by training/ as BK-SDM was",
    domain=SHAPES.manifest.domain.model_copy(
        update={
            "description": f"{SHAPES.manifest.domain.description} Drawn by a smaller model, in less time.",
            "adeptness": 0.95,
        }
    ),
    presets=SHAPES.manifest.presets,
    limits=SHAPES.manifest.limits,
)

SHAPES_SMALL = Compression(
    manifest=_MANIFEST,
    base="shapes",
    # Measured on two U-Nets of the base, one with attention everywhere: without all this the velocity is off by a mean
    # square of 0.005 before any training (the task's loss is 0.12); without attention in the last stage up by 0.13
    # where that has it, without the first resnet by about 1.
    removal=BlockRemoval(mid_block=True, down_attention=(0, 1), up_attention=(0,)),
    weights=DistillationWeights(output=1.0, features=0.1),
    domain=SHAPES.domain,
    samples=SHAPES.samples,
    diffusion=DiffusionConfig(
        LoopConfig(steps=3000, batch_size=32, learning_rate=3e-4, decay_share=0.5, ema_decay=0.998, seed=2),
        images=20_000,
        compile=False,
        weigh=weight_of,
    ),
)
