"""How each embedded ROM is made: sizes, steps and the words of its manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.roms.manifest import Domain, Limits, Preset, RomManifest
from training.diffusion import DiffusionConfig
from training.loop import LoopConfig
from training.text_encoder import TextEncoderConfig
from training.vae import VaeConfig


@dataclass(frozen=True)
class Recipe:
    manifest: RomManifest
    captions: int  # that the tokenizer learns from
    text_encoder: TextEncoderConfig
    vae: VaeConfig
    diffusion: DiffusionConfig


SHAPES = Recipe(
    manifest=RomManifest(
        id="shapes",
        title="Coloured shapes on plain backgrounds, 128x128",
        family="stable_diffusion",
        license="Apache-2.0",
        source="trained by training/ on scenes it draws itself",
        domain=Domain(
            description="Flat coloured geometric shapes, one to four, on a plain background.",
            keywords=("circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond", "shape"),
            styles=("flat", "minimal", "geometric"),
            examples=(
                "a large red star on a black background",
                "three small green circles on cream",
                "a blue ring to the left of a large yellow heart on a white background",
            ),
            avoid=("photograph", "portrait", "landscape"),
        ),
        presets={
            "default": Preset(num_inference_steps=20, guidance_scale=2.0, scheduler="ddim", width=128, height=128),
            "fast": Preset(num_inference_steps=10, guidance_scale=2.0, scheduler="dpmpp_2m", width=128, height=128),
        },
        limits=Limits(max_pixels=256 * 256, max_steps=100, max_batch=8),
    ),
    captions=20_000,
    text_encoder=TextEncoderConfig(LoopConfig(steps=1000, batch_size=128, learning_rate=1e-3)),
    vae=VaeConfig(
        loop=LoopConfig(steps=5000, batch_size=16, learning_rate=1.5e-3),
        decoder_loop=LoopConfig(steps=6000, batch_size=16, learning_rate=8e-4, warmup_steps=50),
        scenes=4000,
    ),
    diffusion=DiffusionConfig(
        LoopConfig(steps=14_500, batch_size=64, learning_rate=1e-3, warmup_steps=150, decay_share=0.3, ema_decay=0.998),
        scenes=30_000,
    ),
)

RECIPES = {"shapes": SHAPES}


def smoke(recipe: Recipe) -> Recipe:
    """The same stages with next to no work in them: shows that everything fits together, in under a minute."""
    vae, diffusion, text_encoder = recipe.vae, recipe.diffusion, recipe.text_encoder
    return replace(
        recipe,
        captions=500,
        text_encoder=replace(text_encoder, loop=_short(text_encoder.loop)),
        vae=replace(vae, loop=_short(vae.loop), decoder_loop=_short(vae.decoder_loop), scenes=32),
        diffusion=replace(
            diffusion, loop=_short(diffusion.loop), scenes=32, block_out_channels=(32, 64), compile=False
        ),
    )


def _short(loop: LoopConfig) -> LoopConfig:
    return replace(loop, steps=3, batch_size=8, warmup_steps=1)
