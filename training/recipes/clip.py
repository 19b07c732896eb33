"""`clip`: pictures and captions of all domains, near each other where they belong together."""

from __future__ import annotations

from app.roms.domain import Domain
from app.roms.manifest import RomManifest
from training.clip import ClipRecipe
from training.domains.digits import DigitsDomain
from training.domains.shapes import ShapesDomain
from training.domains.sketch import SketchDomain
from training.loop import LoopConfig

CLIP = ClipRecipe(
    loop=LoopConfig(
        steps=10_000, batch_size=32, learning_rate=1e-3, warmup_steps=200, weight_decay=0.05, ema_decay=0.998
    ),
    sight=LoopConfig(
        steps=8000, batch_size=64, learning_rate=1e-3, warmup_steps=100, decay_share=0.3, weight_decay=0.05
    ),
    domains=(ShapesDomain(), SketchDomain(), DigitsDomain()),
    tested_domains=(ShapesDomain(held_out=True), SketchDomain(held_out=True), DigitsDomain(held_out=True)),
    manifest=RomManifest(
        id="clip",
        title="Whether a picture fits a caption",
        family="clip",
        license="Apache-2.0",
        source="trained by training/ on scenes it draws itself",
        domain=Domain(description="Embeddings of pictures and captions of the embedded ROMs' domains."),
    ),
)
