"""`digits`: everything from nothing, on numbers put together from scikit-learn's handwritten digits."""

from __future__ import annotations

from app.roms.domain import Domain
from app.roms.manifest import Limits, Preset, RomManifest
from training.diffusion import DiffusionConfig
from training.domains.digits import DigitsDomain
from training.loop import LoopConfig
from training.text_encoder import TextEncoderConfig
from training.text_to_image import TextToImage
from training.vae import VaeConfig

_MANIFEST = RomManifest(
    id="digits",
    title="Handwritten numbers, 128x128",
    family="stable_diffusion",
    license="Apache-2.0",
    source="trained by training/ on scikit-learn's load_digits (Alpaydin & Kaynak, UCI, CC BY 4.0)",
    domain=Domain(
        description="Handwritten numbers of one to three digits, in ink on paper or in chalk on a board.",
        keywords=("digit", "digits", "number", "handwritten", "handwriting", "written", "ink", "paper", "chalk"),
        styles=("handwritten", "ink", "chalk"),
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
        ),
        avoid=("photograph", "portrait", "landscape", "geometric shapes"),
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
    vae=VaeConfig(
        loop=LoopConfig(steps=4000, batch_size=16, learning_rate=1.5e-3),
        decoder_loop=LoopConfig(steps=3000, batch_size=16, learning_rate=8e-4, warmup_steps=50),
        images=4000,
    ),
    diffusion=DiffusionConfig(
        LoopConfig(steps=8000, batch_size=64, learning_rate=1e-3, warmup_steps=150, decay_share=0.3, ema_decay=0.998),
        images=20_000,
        block_out_channels=(64, 128),
    ),
)
