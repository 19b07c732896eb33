"""What the command line asks an evaluation for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from evaluation.features.find import KINDS
from evaluation.generator import Sampling
from evaluation.metrics.measure import METRICS
from evaluation.subjects.embedded import SUBJECTS
from evaluation.subjects.subject import Subject

T = TypeVar("T")

DESCRIPTION = "Measure the pictures of a ROM, or those of a folder; several ROMs are set side by side."
_SWEEP_SCALES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)
_SWEEP_STEPS = (4, 10, 20, 50)


@dataclass(frozen=True)
class Options:
    """The command line, checked as far as it can be without opening a ROM."""

    sources: list[Path]
    metrics: tuple[str, ...]
    clip: Path | None
    features: str
    reference: Path | None
    prompts: Path | None
    subject: Subject  # whose prompts are asked
    sampling: Sampling
    limit: int | None  # prompts of each set, or pictures
    output: Path
    dtype: str
    json: bool
    sweep: bool
    sweep_scales: tuple[float, ...]
    sweep_steps: tuple[int, ...]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and the end."""
        print(f"{self.prog}: {message.removeprefix('argument ')}", file=sys.stderr)
        sys.exit(2)


def parse(arguments: list[str], prog: str) -> Options:
    """Exits with one line that names the option where something is wrong."""
    parser = _parser(prog)
    given = parser.parse_args(arguments)
    if given.sweep and len(given.sources) > 1:
        parser.error("--sweep: takes one ROM")
    if given.metrics and (given.sweep or len(given.sources) > 1):
        parser.error("--metrics: a sweep measures FID and CLIP score, several ROMs are timed; leave it out")
    metrics = given.metrics or ("alignment",)
    if given.prompts and "alignment" in metrics and not given.sweep and len(given.sources) == 1:
        parser.error("--metrics: alignment judges pictures of its own prompts only; leave out --prompts")
    for name in ("clip", "reference"):
        folder = getattr(given, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name}: {folder} is no folder")
    for source in given.sources:
        if not source.exists():
            parser.error(f"ROM: {source} is not there")
    first = given.sources[0].resolve().name
    name = first if len(given.sources) == 1 else "side-by-side"
    return Options(
        sources=given.sources,
        metrics=metrics,
        clip=given.clip,
        features=given.features,
        reference=given.reference,
        prompts=given.prompts,
        subject=SUBJECTS[given.subject or (first if first in SUBJECTS else "shapes")],
        sampling=Sampling(given.steps, given.guidance_scale),
        limit=given.limit,
        output=given.output or Path("build/evaluation") / name,
        dtype=given.dtype,
        json=given.json,
        sweep=given.sweep,
        sweep_scales=given.sweep_scales,
        sweep_steps=given.sweep_steps,
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=prog, description=DESCRIPTION)
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="ROM", help="a ROM's directory, of ours or public, or pictures")
    known = ",".join(METRICS)
    add("--metrics", type=_metrics, metavar="NAMES", help=f"of {known}; default: alignment")
    add("--clip", type=Path, metavar="DIR", help="a CLIP in the layout of transformers; default: model_store/clip")
    add("--features", choices=KINDS, default="auto", help="of fid, prdc, diversity; auto: the first that is here")
    add("--reference", type=Path, metavar="DIR", help="pictures to compare with; default: what the prompts ask, drawn")
    add("--prompts", type=Path, metavar="FILE", help="one prompt a line; default: fixed prompts of shapes")
    add("--steps", type=_whole, metavar="N", help="default: the ROM's default preset")
    add("--guidance-scale", type=_scale, metavar="G", help="default: the ROM's default preset")
    add(
        "--subject", choices=sorted(SUBJECTS), help="whose prompts are asked (default: as the ROM is called, or shapes)"
    )
    add("--limit", type=_whole, metavar="N", help="only the first N prompts of every set, or pictures of a folder")
    add("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto", help="as CARTRIDGE_DTYPE")
    add("--output", type=Path, metavar="DIR", help="default: build/evaluation/<the ROM's name>")
    add("--json", action="store_true", help="print the numbers as JSON")
    add("--sweep", action="store_true", help="FID and CLIP score over guidance scales and steps: CSV, table and plot")
    scales, steps = _several(_scale), _several(_whole)
    add("--sweep-scales", type=scales, default=_SWEEP_SCALES, metavar="G,...", help="default: 1 to 12")
    add("--sweep-steps", type=steps, default=_SWEEP_STEPS, metavar="N,...", help="default: 4, 10, 20, 50")
    return parser


def _metrics(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in names if name not in METRICS]:
        raise argparse.ArgumentTypeError(f"there is no metric {unknown[0]!r}; there are: {', '.join(METRICS)}")
    if not names:
        raise argparse.ArgumentTypeError(f"names none; there are: {', '.join(METRICS)}")
    return names


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _scale(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1000:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, not {text!r}")
    return value


def _several(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    return lambda text: tuple(read(part.strip()) for part in text.split(","))
