"""`vq`: pictures of all domains as 32 x 32 words."""

from __future__ import annotations

from app.roms.domain import Domain
from app.roms.manifest import RomManifest
from training.domains.digits import DigitsDomain
from training.domains.shapes import ShapesDomain
from training.domains.sketch import SketchDomain
from training.loop import LoopConfig
from training.vq import VqConfig
from training.vq_recipe import VqRecipe

VQ = VqRecipe(
    manifest=RomManifest(
        id="vq",
        title="Pictures as words of a codebook, 128x128 in 32x32",
        family="vq",
        license="Apache-2.0",
        source="trained by training/ on scenes it draws itself",
        domain=Domain(description="Reconstructs pictures of the embedded ROMs' domains."),
    ),
    config=VqConfig(loop=LoopConfig(steps=4000, batch_size=16, learning_rate=1e-3), images=2000),
    domains=(ShapesDomain(), SketchDomain(), DigitsDomain()),
    judged_domains=(ShapesDomain(held_out=True), SketchDomain(held_out=True), DigitsDomain(held_out=True)),
)
