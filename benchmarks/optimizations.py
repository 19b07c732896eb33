"""What each optimization does alone: how much faster a step is, and how far the picture is from the one without it.

`python -m benchmarks.optimizations ROM_DIR`, part of `make bench-engine`. Rounds alternate between all ways.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from app.backends.base import Backend
from app.backends.devices import prepare_cpu
from app.backends.registry import load_backend
from app.core import OPTIMIZATIONS
from app.imaging import Pixels
from app.roms.catalog import read_rom
from benchmarks.one_model import OPENVINO, TORCH, Task, make_picture, options_of

_ON_GPUS = ("cuda_graphs", "compile")
_FLOAT32, _BFLOAT16 = "float32", "bfloat16"
_PROMPT = "a large red star on a black background"


@dataclass
class Way:
    """One way to make the same picture."""

    name: str
    task: Task
    beside: str  # the way that it is compared with
    backend: Backend | None = None
    step_s: list[float] = field(default_factory=list)
    picture_s: list[float] = field(default_factory=list)
    pixels: Pixels | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizations", description=__doc__)
    parser.add_argument("rom", type=Path, metavar="ROM_DIR")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    prepare_cpu(0)
    ways = list_ways(arguments.rom, arguments.steps)
    for way in ways:
        way.backend = load_backend(read_rom(arguments.rom), options_of(way.task))
    for _ in range(arguments.rounds):
        for way in ways:
            run(way)
    print_table({way.name: way for way in ways})


def list_ways(rom: Path, steps: int) -> list[Way]:
    """Everything that can be turned on for a CPU, alone, in bfloat16; and bfloat16 itself."""
    plain = Task(TORCH, str(rom), steps, 0, decoder="full", optimizations="", dtype=_FLOAT32, prompt=_PROMPT)
    half = replace(plain, dtype=_BFLOAT16)
    ways = [Way(_FLOAT32, plain, _FLOAT32), Way(_BFLOAT16, half, _FLOAT32)]
    names = [name for name in OPTIMIZATIONS if name not in _ON_GPUS]
    ways += [Way(name, replace(half, optimizations=name), _BFLOAT16) for name in names]
    ways += [Way("all that auto takes", replace(half, optimizations="auto"), _BFLOAT16)]
    ways += [Way("openvino", replace(half, kind=OPENVINO), _BFLOAT16)]
    return [*ways, Way("guidance_interval 0 to 0.5", replace(half, guidance_stop=0.5), _BFLOAT16)]


def run(way: Way) -> None:
    assert way.backend is not None
    made = make_picture(way.backend, way.task)
    way.step_s.append(made.step_s)
    way.picture_s.append(made.picture_s)
    way.pixels = made.pixels


def print_table(ways: dict[str, Way]) -> None:
    print(f"{'alone':28} step ms  step ratio  picture ratio  PSNR dB  beside")
    for way in ways.values():
        beside = ways[way.beside]
        step_s, other_s = statistics.median(way.step_s), statistics.median(beside.step_s)
        picture = statistics.median(beside.picture_s) / statistics.median(way.picture_s)
        print(f"{way.name:28} {step_s * 1000:7.1f} {other_s / step_s:11.2f} {picture:14.2f} ", end="")
        print(f"{psnr(way.pixels, beside.pixels):8.1f}  {way.beside}")


def psnr(one: Pixels | None, other: Pixels | None) -> float:
    """In decibels; infinite where they are the same."""
    assert one is not None and other is not None
    error = float(np.square(one.astype(float) - other.astype(float)).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


if __name__ == "__main__":
    main()
