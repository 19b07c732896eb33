"""`shapes`: everything from nothing, on scenes that training draws itself."""

from __future__ import annotations

from app.roms.domain import Domain, Rule
from app.roms.manifest import Limits, Preset, RomManifest
from training.diffusion import DiffusionConfig
from training.domains.digits import DigitsDomain
from training.domains.shapes import ShapesDomain
from training.domains.sketch import SketchDomain
from training.loop import LoopConfig
from training.scenes import SceneSpec
from training.text_encoder import TextEncoderConfig
from training.text_to_image import TextToImage
from training.vae import VaeConfig

SHAPE = r"(circle|square|triangle|star|ring|cross|heart|diamond|shape|disc|disk|dot|ball|box|rhombus|hoop|plus)"
COLOURED_SHAPE = rf"\b(red|green|blue|yellow|purple|orange|cyan|pink|black|white) {SHAPE}"
PEN_AND_INK = (
    r"\b(ink(ed|s)?|pens?|penned|nib|quill|biro|ball-?point|sketch\w*|doodl\w*|scribbl\w*|(cross-?)?hatch\w*"
    r"|outlin\w*|line[ -]?(art|work|drawings?)|pen ?strokes?|hand[ -]drawn|drawn by hand|etch\w*|engrav\w*|contours?)\b"
)

_PRESET = Preset(
    num_inference_steps=20,
    guidance_scale=3.0,
    scheduler="dpmpp_2m_sde",  # which adds noise: fewer shapes are spoilt than with `ddim`
    width=128,
    height=128,
    twin="shapes-turbo",
)

_MANIFEST = RomManifest(
    id="shapes",
    title="Coloured shapes on plain backgrounds, 128x128",
    family="stable_diffusion",
    license="Apache-2.0",
    source="trained by training/ on scenes it draws itself",
    domain=Domain(
        name="shapes",
        description="Flat coloured geometric shapes, one to four, on a plain background.",
        keywords=(
            "circle",
            "square",
            "triangle",
            "star",
            "ring",
            "cross",
            "heart",
            "diamond",
            "shape",
            "disc",
            "disk",
            "dot",
            "ball",
            "box",
            "rhombus",
            "hoop",
            "plus",
            "plus sign",
            "geometric",
        ),
        styles=(
            "flat",
            "minimal",
            "geometric",
            "flat design",
            "plain background",
        ),
        examples=(
            "a large red star on a black background",
            "three small green circles on cream",
            "a blue ring to the left of a large yellow heart on a white background",
            "a tiny purple diamond on a grey background",
            "four orange triangles on mint",
            "two big pink hearts, navy background",
            "a small cyan cross above a large red square on white",
            "a green plus on cream",
            "a yellow disc below a blue box on black",
            "a huge orange ring on a navy blue background",
            "an illustration of two little purple stars on white, flat design",
            "a red dot to the right of a green rhombus on grey",
            "three large cyan squares against a black background",
            "a picture of a small pink triangle on mint green, minimal",
            "a blue heart on the left and an orange circle on the right, cream background",
            "a yellow hoop under a purple cross on navy",
            "a red circle",
            "two yellow squares on a grey background",
            "draw a green star and a small blue ring",
            "a minimal picture of a purple heart",
            "an orange ball next to a pink box",
            "three cyan crosses, cream background",
            "a small red triangle inside a plain white background",
            "flat geometric shapes: a blue diamond and a yellow ring",
            "one big green disk on navy",
            "a pink plus sign to the right of an orange star",
            "geometric composition of a red square and two blue dots",
            "a large purple rhombus over a tiny white circle on black",
            "Four yellow hearts on mint.",
            "blue triangle, white background, flat",
            "an image of a cyan hoop and a red cross",
            "a drawing of an orange square in the middle of a grey page",
            "a drawing of two blue rings",
        ),
        avoid=(
            "photograph",
            "portrait",
            "landscape",
            "ink",
            "sketch",
            "sketchy",
            "scribble",
            "doodle",
            "outline",
            "hatched",
            "hatching",
            "hand-drawn",
            "pen",
            "handwritten",
            "digit",
            "number",
            "chalk",
        ),
        rules=(
            Rule(
                name="a coloured shape",
                pattern=COLOURED_SHAPE,
                degree=0.8,
            ),
            Rule(name="pen and ink", pattern=PEN_AND_INK, degree=0.8, against=True),
        ),
        adeptness=0.96,
    ),
    presets={
        "default": _PRESET,
        "fast": _PRESET.model_copy(
            update={"num_inference_steps": 10, "guidance_scale": 2.0, "scheduler": "dpmpp_2m"},
        ),
        "quality": _PRESET.model_copy(update={"num_inference_steps": 40}),
    },
    limits=Limits(max_pixels=256 * 256, max_steps=100, max_batch=8),
)


def weight_of(scene: SceneSpec) -> float:
    """Stars, crosses and large rings are learnt last: unweighted, they are most of what comes out wrong."""
    has_arms = any(item.shape in ("star", "cross") for item in scene.objects)
    has_large_ring = any((item.shape, item.size) == ("ring", "large") for item in scene.objects)
    return 1.0 + 2.5 * has_arms + 2.0 * has_large_ring


SHAPES = TextToImage(
    manifest=_MANIFEST,
    domain=ShapesDomain(),
    relatives=(SketchDomain(),),
    samples=(
        "a large red star on a black background",
        "a small blue ring on cream",
        "three green circles on a white background",
        "a yellow heart to the left of a purple square on grey",
        "a large pink cross above a small cyan diamond, on navy",
        "four small orange triangles on mint",
        "a large green diamond on a black background",
        "a tiny red circle below a big blue square on white",
    ),
    captions=20_000,
    text_encoder=TextEncoderConfig(
        LoopConfig(steps=1000, batch_size=128, learning_rate=1e-3),
        widen_loop=LoopConfig(steps=1200, batch_size=64, learning_rate=5e-4),
    ),
    vae=VaeConfig(
        loop=LoopConfig(steps=4000, batch_size=16, learning_rate=1.5e-3),
        refine_loop=LoopConfig(steps=4000, batch_size=16, learning_rate=1e-3, decay_share=0.7),
        images=4000,
        relatives=(SketchDomain(), DigitsDomain()),
    ),
    diffusion=DiffusionConfig(
        LoopConfig(steps=6900, batch_size=32, learning_rate=1.5e-3, warmup_steps=150, decay_share=0.7, ema_decay=0.999),
        uniform_loop=LoopConfig(steps=4000, batch_size=32, learning_rate=1e-3, warmup_steps=50, ema_decay=0.99, seed=1),
        images=30_000,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        weigh=weight_of,
    ),
)
