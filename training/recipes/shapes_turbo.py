"""`shapes-turbo`: the U-Net of `shapes` taught to draw in four steps without guidance, as a LoRA over `shapes`."""

from __future__ import annotations

from app.roms.manifest import Limits, Preset, RomManifest
from training.acceleration import Acceleration
from training.diffusion import DiffusionConfig
from training.loop import LoopConfig
from training.recipes.shapes import SHAPES, weight_of

_MANIFEST = RomManifest(
    id="shapes-turbo",
    base="shapes",
    title="Coloured shapes on plain backgrounds, 128x128, in four steps",
    family="stable_diffusion",
    license="Apache-2.0",
    source="the ROM shapes, its guided sampling distilled by training/ into four steps",
    domain=SHAPES.manifest.domain.model_copy(
        update={
            "description": f"{SHAPES.manifest.domain.description} Drawn in four steps, at once.",
            "adeptness": 0.91,
        }
    ),
    presets={
        "default": Preset(num_inference_steps=4, guidance_scale=1.0, scheduler="ddim", width=128, height=128),
        "fast": Preset(num_inference_steps=2, guidance_scale=1.0, scheduler="ddim", width=128, height=128),
        "quality": Preset(num_inference_steps=8, guidance_scale=1.0, scheduler="ddim", width=128, height=128),
    },
    limits=Limits(max_pixels=256 * 256, max_steps=50, max_batch=8),
)

SHAPES_TURBO = Acceleration(
    manifest=_MANIFEST,
    base="shapes",
    rank=64,
    guidance_scale=2.0,  # what the base needs with `ddim`; 3 is no better
    rounds=(8, 4),
    domain=SHAPES.domain,
    samples=SHAPES.samples,
    diffusion=DiffusionConfig(
        LoopConfig(steps=1100, batch_size=32, learning_rate=3e-4, warmup_steps=50, ema_decay=0.99, seed=3),
        images=20_000,
        compile=False,
        weigh=weight_of,
        caption_dropout=0.02,  # without a caption the target is unguided
    ),
)
