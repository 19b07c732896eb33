"""`python -m training own`: teach a user's images to a ROM. Runs again where it stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.loop import LoopConfig
from training.own.attributes import DEFAULT_TEMPLATE, AttributeCaptions
from training.own.captions import TABLES, CaptionOptions
from training.own.errors import OwnDataError
from training.own.tuning import OwnTuning

_FULL_RATE, _LORA_RATE = 1e-4, 5e-3


def main(arguments: Sequence[str]) -> None:
    """Train as the arguments say; exits with a message where that cannot be done."""
    options = new_parser().parse_args(arguments)
    try:
        work = options.work or Path("build/training") / options.id
        tuning(options).make(work, options.store)
    except OwnDataError as error:
        sys.exit(str(error))


def tuning(options: argparse.Namespace) -> OwnTuning:
    """What the options ask for. Raises OwnDataError."""
    names = options.attributes and tuple(name.strip() for name in options.attributes.split(","))
    said = AttributeCaptions(options.template)
    captions = CaptionOptions(options.captions, options.file_column, options.text_column, names or None, said)
    rank: int | None = options.lora
    loop = LoopConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or (_FULL_RATE if rank is None else _LORA_RATE),
        warmup_steps=min(50, options.steps),
        ema_decay=0.99,
        seed=options.seed,
    )
    return OwnTuning(options.id, options.base, options.data, loop, rank, captions, options.clip)


def new_parser() -> argparse.ArgumentParser:
    """Every option, with its help."""
    parser = argparse.ArgumentParser(prog="python -m training own", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="of images (png, jpg, jpeg, webp)")
    parser.add_argument("--base", default="shapes", metavar="ROM", help="id of the ROM to start from, in the store")
    parser.add_argument("--id", required=True, metavar="ROM", help="id of the ROM to make")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="teach the whole U-Net (the default)")
    how.add_argument("--lora", type=_positive, metavar="RANK", help="a LoRA over the base instead")
    said = parser.add_argument_group("captions", "unless told: a table in the folder, else IMAGE.txt beside each image")
    said.add_argument("--captions", type=Path, metavar="FILE", help=f"a CSV, or CelebA's list; {' or '.join(TABLES)}")
    said.add_argument("--file-column", metavar="COLUMN", help="of the images' names (default: by its name)")
    what = said.add_mutually_exclusive_group()
    what.add_argument("--text-column", metavar="COLUMN", help="of the captions (default: text, if there is one)")
    what.add_argument("--attributes", metavar="A,B", help="columns of attributes (default: all, without texts)")
    said.add_argument("--template", default=DEFAULT_TEMPLATE, help="of attributes (default: %(default)r)")
    parser.add_argument("--clip", type=Path, metavar="PATH", help="a CLIP (default: a ROM of the family clip)")
    parser.add_argument("--steps", type=_positive, default=1000, metavar="N", help="(default: 1000)")
    parser.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="images (default: 16)")
    rates = f"(default: {_FULL_RATE}, for a LoRA {_LORA_RATE})"
    parser.add_argument("--learning-rate", type=_rate, metavar="RATE", help=rates)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="of both ROMs (default: model_store)")
    parser.add_argument("--work", type=Path, help="embeddings, checkpoints, curves (default: build/training/ROM)")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1")
    return rate
