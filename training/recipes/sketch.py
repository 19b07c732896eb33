"""`sketch`: the U-Net of `shapes` learns to draw its scenes in ink; both ROMs share all other files."""

from __future__ import annotations

from app.roms.domain import Domain, Rule
from app.roms.manifest import Limits, Preset, RomManifest
from training.diffusion import DiffusionConfig
from training.domains.sketch import SketchDomain
from training.fine_tuning import FineTuning
from training.loop import LoopConfig
from training.recipes.shapes import COLOURED_SHAPE, PEN_AND_INK, SHAPE

_MANIFEST = RomManifest(
    id="sketch",
    title="Ink sketches of shapes, 128x128",
    family="stable_diffusion",
    license="Apache-2.0",
    source="the ROM shapes, its U-Net fine-tuned by training/ on sketches it draws itself",
    domain=Domain(
        description="Hand-drawn ink sketches of geometric shapes, hatched in colour, one to four, on plain paper.",
        keywords=(
            "sketch",
            "ink",
            "hatched",
            "hatching",
            "cross-hatching",
            "pen",
            "pen and ink",
            "hand-drawn",
            "outline",
            "scribble",
            "doodle",
            "sketchy",
        ),
        styles=(
            "ink",
            "sketch",
            "hatched",
            "hand-drawn",
            "line drawing",
        ),
        examples=(
            "an ink sketch of a large red star on a black background",
            "three small green circles on cream, hatched ink drawing",
            "a sketch of a blue ring to the left of a large yellow heart on white, in ink",
            "a pen drawing of a tiny purple diamond on grey, hatched",
            "four orange triangles on mint, ink sketch",
            "an ink drawing of two big pink hearts on navy",
            "a small cyan cross above a large red square on white, ink drawing",
            "a hatched drawing of a green plus on cream",
            "a yellow disc below a blue box on black, pen and ink",
            "an ink sketch of a huge orange ring on a navy blue background",
            "an ink drawing of two little purple stars on white",
            "a red dot to the right of a green rhombus on grey, hatched ink drawing",
            "a pen drawing of three large cyan squares against a black background, hatched",
            "a sketch of a small pink triangle on mint green, in ink",
            "a blue heart on the left and an orange circle on the right, cream background, ink sketch",
            "a yellow hoop under a purple cross on navy, pen and ink",
            "a hand-drawn red circle",
            "a rough sketch of two yellow squares on grey",
            "sketched green star and a small blue ring, in ink",
            "a doodle of a purple heart on white",
            "an orange ball drawn with a pen next to a pink box",
            "three cyan crosses with cross-hatching, cream background",
            "ink outline of a small red triangle",
            "hatched geometric shapes: a blue diamond and a yellow ring",
            "one big green disk on navy, hand drawn",
            "a scribbled pink plus sign to the right of an orange star",
            "a line drawing of a red square and two blue dots",
            "a large purple rhombus over a tiny circle, drawn in ink",
            "Four yellow hearts on mint, as an ink sketch.",
            "quick pen sketch of a blue triangle, white background",
            "a sketchy cyan hoop and a red cross, hatching",
        ),
        avoid=(
            "photograph",
            "portrait",
            "landscape",
            "flat design",
            "handwritten",
            "digit",
            "number",
            "chalk",
            "flat",
            "minimal",
        ),
        rules=(
            Rule(
                name="a coloured shape",
                pattern=COLOURED_SHAPE,
                degree=0.8,
            ),
            Rule(name="a shape in pen and ink", pattern=rf"^(?=.*{PEN_AND_INK})(?=.*\b{SHAPE})", degree=0.9),
        ),
        adeptness=0.85,
    ),
    presets={
        "default": Preset(num_inference_steps=20, guidance_scale=2.0, scheduler="ddim", width=128, height=128),
        "fast": Preset(num_inference_steps=10, guidance_scale=2.0, scheduler="dpmpp_2m", width=128, height=128),
        "quality": Preset(num_inference_steps=40, guidance_scale=2.0, scheduler="ddim", width=128, height=128),
    },
    limits=Limits(max_pixels=256 * 256, max_steps=100, max_batch=8),
)

SKETCH = FineTuning(
    manifest=_MANIFEST,
    base="shapes",
    domain=SketchDomain(),
    samples=(
        "an ink drawing of a large red star on a black background",
        "a small blue ring on cream, ink drawing",
        "a drawing of three green circles on a white background, in ink",
        "an ink drawing of a yellow heart to the left of a purple square on grey",
        "a large pink cross above a small cyan diamond, on navy, a drawing in ink",
        "four small orange triangles on mint, in ink",
        "an ink sketch of a large green diamond on a black background",
        "a tiny red circle below a big blue square on white, hatched ink drawing",
    ),
    diffusion=DiffusionConfig(
        LoopConfig(steps=2000, batch_size=32, learning_rate=3e-4, warmup_steps=100, ema_decay=0.998, seed=1),
        images=12_000,
    ),
)
