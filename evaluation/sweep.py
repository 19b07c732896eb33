"""The guidance sweep: how FID and CLIP score trade off over guidance scales and steps (as Saharia et al. 2022 do)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path

import matplotlib
from tqdm import tqdm

from evaluation.generator import Sampling

matplotlib.use("Agg")


@dataclass(frozen=True)
class SweepPoint:
    """One setting's numbers. The CLIP score is 2.5 * max(cosine, 0), the FID in the features that the report names."""

    guidance_scale: float
    num_inference_steps: int
    fid: float
    clip_score: float
    image_s: float  # of a batch's time, an image's share


Measure = Callable[[Sampling], SweepPoint]


def sweep(measure: Measure, scales: Sequence[float], steps: Sequence[int], path: Path) -> list[SweepPoint]:
    """Every scale with every number of steps, the fewest steps first; each row is in the CSV file once it is known."""
    points = []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(SweepPoint)])
        writer.writeheader()
        for point in _measured(measure, scales, steps):
            points.append(point)
            writer.writerow({name: round(value, 4) for name, value in asdict(point).items()})
            file.flush()
    return points


def _measured(measure: Measure, scales: Sequence[float], steps: Sequence[int]) -> Iterator[SweepPoint]:
    settings = list(product(sorted(steps), sorted(scales)))
    for number, scale in tqdm(settings, desc="sweep", unit="setting", dynamic_ncols=True):
        yield measure(Sampling(number, scale))


def table(points: Sequence[SweepPoint]) -> str:
    """FID / CLIP score in Markdown: a row for each guidance scale, a column for each number of steps."""
    steps = sorted({point.num_inference_steps for point in points})
    cells = {(point.guidance_scale, point.num_inference_steps): point for point in points}
    lines = ["| guidance scale | " + " | ".join(f"{number} steps" for number in steps) + " |"]
    lines.append("|---:|" + "---:|" * len(steps))
    for scale in sorted({point.guidance_scale for point in points}):
        row = [cells.get((scale, number)) for number in steps]
        shown = ["-" if point is None else f"{point.fid:.3g} / {point.clip_score:.3f}" for point in row]
        lines.append(f"| {scale:g} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def plot(points: Sequence[SweepPoint], title: str, path: Path) -> None:
    """FID over CLIP score, a curve for each number of steps with its guidance scales; down and right is better."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 4.5))
    for number in sorted({point.num_inference_steps for point in points}):
        curve = [point for point in points if point.num_inference_steps == number]
        axis.plot(
            [point.clip_score for point in curve], [point.fid for point in curve], marker="o", label=f"{number} steps"
        )
        for point in curve:
            axis.annotate(f"{point.guidance_scale:g}", (point.clip_score, point.fid), fontsize=7)
    axis.set(title=title, xlabel="CLIP score", ylabel="FID", yscale="log")  # where it matters, FIDs lie close
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
