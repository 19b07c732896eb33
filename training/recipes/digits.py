"""`digits`: in the latents of `shapes`, on numbers put together from scikit-learn's handwritten digits."""

from __future__ import annotations

from app.roms.domain import Domain, Rule
from app.roms.manifest import Limits, Preset, RomManifest
from training.diffusion import DiffusionConfig
from training.domains.digits import DigitsDomain
from training.loop import LoopConfig
from training.text_encoder import TextEncoderConfig
from training.text_to_image import TextToImage

_NUMBER_WORDS = (
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|"
    r"seventy|eighty|ninety|hundred"
)

_MANIFEST = RomManifest(
    id="digits",
    title="Handwritten numbers, 128x128",
    family="stable_diffusion",
    license="Apache-2.0",
    source="trained by training/ on scikit-learn's load_digits (Alpaydin & Kaynak, UCI, CC BY 4.0)",
    domain=Domain(
        description="Handwritten numbers of one to three digits, in ink on paper or in chalk on a board.",
        keywords=(
            "digit",
            "digits",
            "number",
            "numeral",
            "figure",
            "handwritten",
            "handwriting",
            "written",
            "write",
            "ink",
            "paper",
            "chalk",
            "blackboard",
        ),
        styles=(
            "handwritten",
            "ink",
            "chalk",
            "by hand",
        ),
        examples=(
            "a handwritten seven in blue ink on cream paper",
            "the number 4 7 written in chalk on a blackboard",
            "a handwritten 3 in red ink on white paper",
            "the digit 0 in purple ink on pink paper",
            "the number 123 in black ink on a sheet of cream paper",
            "forty-two in green ink on grey paper",
            "the digits 9 and 5 in yellow chalk on a navy board",
            "the digits one, two and three in blue on white",
            "a handwritten 88 in purple ink on cream paper",
            "the number six in white chalk on a blackboard",
            "a picture of the number 907 on pink paper, in black ink",
            "eight zero five written in red ink on grey paper",
            "the handwritten number 16 in blue ink on a pink background",
            "a four in chalk on the blackboard, handwriting",
            "the number seventy-one written in yellow chalk on a blackboard",
            "the number 2 0 in green ink on white paper, handwritten",
            "the number 7",
            "a chalk 31 on a blackboard",
            "two hundred and six written by hand",
            "write the digits 4 and 8 in blue",
            "nine in red ink",
            "a handwritten number, 650, in black ink on cream paper",
            "the figure 5 in green",
            "13 in white chalk on the blackboard",
            "numerals 2 6 1 in purple",
            "a zero on pink paper",
            "handwriting: the number eighteen in blue ink",
            "the digit three written in yellow chalk",
            "one hundred",
            "A handwritten 99 on white paper, neat.",
            "the number forty in red on grey",
            "an image of a 6 in black ink",
            "57",
            "4 0",
            "thirty-three",
            "Nine.",
        ),
        avoid=(
            "photograph",
            "portrait",
            "landscape",
            "geometric shapes",
            "circle",
            "square",
            "triangle",
            "star",
            "ring",
            "heart",
            "diamond",
        ),
        rules=(
            Rule(
                name="nothing but a number",
                pattern=rf"^\W*(\d( ?\d){{0,2}}|(({_NUMBER_WORDS}|and)[ -]*)+)\W*$",
                degree=0.95,
            ),
            Rule(
                name="a number of up to three digits",
                pattern=r"(?<![\w.:/-])\d( ?\d){0,2}(?![\w.:/-])",
                degree=0.5,
            ),
            Rule(
                name="a number in words",
                pattern=rf"\b({_NUMBER_WORDS})(?= (in|on|written|by) |[,.]|$)",
                degree=0.3,
            ),
            Rule(
                name="a named number",
                pattern=rf"\b(number|digit|numeral|figure)s? (\d|{_NUMBER_WORDS})",
                degree=0.9,
            ),
        ),
        adeptness=0.41,
    ),
    presets={
        "default": Preset(num_inference_steps=20, guidance_scale=2.0, scheduler="ddim", width=128, height=128),
        "fast": Preset(num_inference_steps=10, guidance_scale=2.0, scheduler="dpmpp_2m", width=128, height=128),
        "quality": Preset(num_inference_steps=40, guidance_scale=2.0, scheduler="ddim", width=128, height=128),
    },
    limits=Limits(max_pixels=256 * 256, max_steps=100, max_batch=8),
)

DIGITS = TextToImage(
    manifest=_MANIFEST,
    domain=DigitsDomain(),
    samples=(
        "a handwritten seven in blue ink on cream paper",
        "the number 4 7 written in chalk on a blackboard",
        "the digit 0 in purple ink on pink paper",
        "the number 123 in black ink on white paper",
        "forty-two in green ink on grey paper",
        "the digits 9 and 5 in yellow chalk on a navy board",
        "eight zero six written in red ink on cream paper",
        "a handwritten 3 in red ink on white paper",
    ),
    captions=20_000,
    text_encoder=TextEncoderConfig(
        LoopConfig(steps=800, batch_size=128, learning_rate=1e-3), hidden_size=128, layers=3
    ),
    vae="shapes",
    diffusion=DiffusionConfig(
        LoopConfig(steps=8000, batch_size=32, learning_rate=8e-4, warmup_steps=150, decay_share=0.3, ema_decay=0.998),
        images=20_000,
        block_out_channels=(64, 128),
    ),
)
