"""`upscaler`: one small network that enlarges pictures of shapes 2 and 4 times."""

from __future__ import annotations

from app.roms.domain import Domain
from app.roms.manifest import Limits, RomManifest
from training.loop import LoopConfig
from training.upscaler import UpscalerConfig
from training.upscaler_recipe import UpscalerRecipe

UPSCALER = UpscalerRecipe(
    manifest=RomManifest(
        id="upscaler",
        title="SRResNet for flat coloured shapes, 2 and 4 times",
        family="upscaler",
        license="Apache-2.0",
        source="trained by training/ on scenes it draws itself",
        domain=Domain(
            description="Enlarges pictures of flat coloured shapes with sharp edges.",
            keywords=("upscale", "enlarge", "bigger", "larger", "resolution", "super-resolution"),
            examples=(
                "upscale this picture of shapes twice",
                "enlarge the image four times",
                "make it 4x bigger with sharp edges",
                "a larger version of this picture",
                "increase the resolution of the image",
                "super-resolution, 2x",
                "upscale to 512 by 512 pixels",
                "the same picture at a higher resolution",
            ),
            avoid=("photograph", "portrait", "landscape"),
        ),
        limits=Limits(max_pixels=2048 * 2048),
    ),
    config=UpscalerConfig(
        loop=LoopConfig(steps=4000, batch_size=16, learning_rate=1e-3, ema_decay=0.99, checkpoint_every_s=30),
        scenes=((600, 256), (200, 512)),
    ),
)
