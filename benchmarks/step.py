"""`make bench-step`: a step of the published architectures at full size, against plain diffusers on the same files.

Weights are random: they take the time and memory of trained ones. Plain diffusers is StableDiffusionPipeline (or XL) as
it comes, in float32. Every line is a process of its own; the peak of the matrix product is measured before and after.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.architectures import ARCHITECTURES, Architecture
from benchmarks.full_size import ensure_rom
from benchmarks.one_model import OPENVINO, PLAIN, TORCH, Measured, Task, measure

_PEAK_SIDE, _PEAK_ROUNDS = 4096, 8
_PICTURE = "bk-sdm-small"
_PICTURE_STEPS, _PICTURE_GUIDANCE = 20, 0.5


@dataclass(frozen=True)
class Line:
    """What one architecture's step takes."""

    name: str
    flops: float
    seconds: dict[str, float]  # by kind


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES), metavar="NAME")
    parser.add_argument("--kinds", nargs="+", choices=(PLAIN, TORCH, OPENVINO), default=[PLAIN, TORCH, OPENVINO])
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    peak = matmul_peak()
    lines = [measure_line(name, arguments.kinds, arguments.steps) for name in arguments.models]
    peak = max(peak, matmul_peak())
    print_table(lines, peak)
    if _PICTURE in arguments.models:
        print_picture(arguments.kinds)


def measure_line(name: str, kinds: Sequence[str], steps: int) -> Line:
    rom = ensure_rom(name)
    seconds = {}
    for kind in kinds:
        seconds[kind] = measure(Task(kind, str(rom), steps)).step_s
        print(f"{name:13} {kind:9} {seconds[kind]:7.2f} s a step", flush=True)
    return Line(name, step_flops(ARCHITECTURES[name]), seconds)


def print_table(lines: Sequence[Line], peak: float) -> None:
    print(f"\npeak of the bfloat16 matrix product: {peak / 1e9:.0f} GFLOP/s")
    print("model          TFLOP  plain s   torch s  ratio  of peak  openvino s  ratio  of peak")
    for line in lines:
        cells = [f"{line.name:13} {line.flops / 1e12:6.2f} {_number(line.seconds.get(PLAIN)):>8}"]
        cells += [_cells(line, kind, peak, width) for kind, width in ((TORCH, 9), (OPENVINO, 11))]
        print(" ".join(cells))
    for kind in (TORCH, OPENVINO):
        smallest = next((line for line in lines if line.name == "bk-sdm-small" and kind in line.seconds), None)
        if smallest is None:
            continue
        print(f"\nin steps of BK-SDM-small   {kind}   published (whole pictures on a GPU)")
        for line in lines:
            published = ARCHITECTURES[line.name].published_s / ARCHITECTURES["bk-sdm-small"].published_s
            print(f"{line.name:26} {line.seconds[kind] / smallest.seconds[kind]:5.2f}   {published:5.2f}")


def print_picture(kinds: Sequence[str]) -> None:
    """A whole picture, as it would be asked for where time is short."""
    rom = str(ensure_rom(_PICTURE))
    for kind in kinds:
        if kind != PLAIN:
            task = Task(kind, rom, _PICTURE_STEPS, guidance_stop=_PICTURE_GUIDANCE)
            made: Measured = measure(task)
            print(f"\n{_PICTURE}, {kind}: {_PICTURE_STEPS} steps, guidance on the first half, tiny decoder: ", end="")
            print(f"{made.picture_s:.1f} s a picture; loaded in {made.load_s:.1f} s")


def matmul_peak() -> float:
    """FLOP/s of a bfloat16 product of square matrices, the best of some."""
    matrix = torch.randn(_PEAK_SIDE, _PEAK_SIDE).bfloat16()
    best = 0.0
    for _ in range(_PEAK_ROUNDS):
        started = time.perf_counter()
        matrix @ matrix
        best = max(best, 2 * _PEAK_SIDE**3 / (time.perf_counter() - started))
    return best


def step_flops(architecture: Architecture, size: int = 512) -> float:
    """Multiplications and additions of one step with guidance: a forward of two rows."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**architecture.unet)
        side = size // 8
        added = {"text_embeds": torch.empty(2, 1280), "time_ids": torch.empty(2, 6)} if architecture.is_xl else None
        with FlopCounterMode(display=False) as counter:
            embeds = torch.empty(2, 77, architecture.unet["cross_attention_dim"])
            unet(torch.empty(2, 4, side, side), torch.empty(2), embeds, added_cond_kwargs=added)
    return float(counter.get_total_flops())


def _cells(line: Line, kind: str, peak: float, width: int) -> str:
    """Seconds, how many times plain diffusers' speed, and the share of the peak."""
    seconds, plain = line.seconds.get(kind), line.seconds.get(PLAIN)
    ratio = plain / seconds if seconds and plain else None
    share = f"{line.flops / seconds / peak:8.0%}" if seconds else f"{'-':>8}"
    return f"{_number(seconds):>{width}} {_number(ratio):>6} {share}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
