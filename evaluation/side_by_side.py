"""ROMs side by side: a contact sheet of prompt x ROM with the seconds of each, and their speeds as ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.architectures import ARCHITECTURES
from evaluation.sheet import contact_sheet

_LARGEST_SIDE = 256  # pixels of a picture on the sheet


@dataclass(frozen=True)
class TimedRom:
    """A ROM's pictures, one a prompt, and what each took, warm and alone."""

    name: str
    images: list[np.ndarray]  # uint8 [H, W, 3]
    seconds: list[float]
    step_s: float

    @property
    def image_s(self) -> float:
        """Median."""
        return statistics.median(self.seconds)


def sheet(roms: Sequence[TimedRom], prompts: Sequence[str]) -> Image.Image:
    """A row for each prompt, a column for each ROM; pictures are scaled to the size of the first one's."""
    height, width = roms[0].images[0].shape[:2]
    scale = min(1.0, _LARGEST_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    images, captions = [], []
    for row, prompt in enumerate(prompts):
        for rom in roms:
            images.append(Image.fromarray(rom.images[row]).resize(size, Image.Resampling.LANCZOS))
            captions.append(f"{rom.name}, {rom.seconds[row]:.2f} s: {prompt}")
    return contact_sheet(images, captions, columns=len(roms))


def speed_table(roms: Sequence[TimedRom]) -> str:
    """Seconds and their ratio to the first ROM's, beside the published ratio where both ROMs are of published models.

    The published seconds are of whole pictures with default settings on one GPU; see benchmarks/README.md.
    """
    first = roms[0]
    lines = ["| ROM | s/image | s/step | ratio | published ratio |", "|---|---:|---:|---:|---:|"]
    for rom in roms:
        published = _published_ratio(rom.name, first.name)
        shown = "-" if published is None else f"{published:.2f}"
        lines.append(
            f"| {rom.name} | {rom.image_s:.3f} | {rom.step_s:.4f} | {rom.image_s / first.image_s:.2f} | {shown} |"
        )
    known = ", ".join(f"{model.title} {model.published_s:g} s" for model in ARCHITECTURES.values())
    return "\n".join(lines) + f"\n\nPublished: {known}.\n"


def document(roms: Sequence[TimedRom]) -> dict[str, Any]:
    """The speeds, ready for JSON."""
    return {
        "roms": [
            {key: value for key, value in asdict(rom).items() if key != "images"}
            | {
                "image_s": rom.image_s,
                "ratio": rom.image_s / roms[0].image_s,
                "published_ratio": _published_ratio(rom.name, roms[0].name),
            }
            for rom in roms
        ]
    }


def write(roms: Sequence[TimedRom], prompts: Sequence[str], directory: Path) -> None:
    """side_by_side.png and speed.md, in `directory`, which is made when absent."""
    directory.mkdir(parents=True, exist_ok=True)
    sheet(roms, prompts).save(directory / "side_by_side.png")
    (directory / "speed.md").write_text(speed_table(roms), encoding="utf-8")


def _published_ratio(name: str, first: str) -> float | None:
    ours, base = _published_s(name), _published_s(first)
    return None if ours is None or base is None else ours / base


def _published_s(name: str) -> float | None:
    """Of the published model whose name the ROM's begins with."""
    found = [model.published_s for key, model in ARCHITECTURES.items() if name.lower().startswith(key)]
    return found[0] if found else None
