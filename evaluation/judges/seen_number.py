"""What handwriting shows: paper and ink by their pixels, digits by a classifier that was trained on other hands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from evaluation.judges.colour import nearest_name, to_lab
from evaluation.judges.seen_scene import background_colour
from training.handwriting import write
from training.scenes import IMAGE_SIZE
from training.written_numbers import BOARDS, CHALKS, DIGITS, INKS, PAPERS, NumberSpec

_TOLERANCE = 22.0  # Delta E
_CONTRAST = 20.0  # Delta E from the paper
_GRID = 12  # cells a side that a digit is looked at in
_TALL = {1: 80.0, 2: 62.0}  # pixels: ink that is as high has as few digits
_SPECK = 30  # pixels
_LESSONS = 150  # of each digit
_SEED = 20_250_101


@dataclass(frozen=True)
class SeenNumber:
    """None: of no known colour. `digits` is empty where there is no ink."""

    digits: str
    ink: str | None
    paper: str | None


def read_number(image: np.ndarray) -> SeenNumber:
    """Read an image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3].

    Raises ValueError when the array is something else.
    """
    if image.dtype != np.uint8 or image.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise ValueError(f"expected uint8 [{IMAGE_SIZE}, {IMAGE_SIZE}, 3], got {image.dtype} {list(image.shape)}")
    pixels = image.astype(np.float64)
    ground = background_colour(pixels)
    contrast = np.linalg.norm(to_lab(pixels) - to_lab(ground), axis=-1)
    inked = _without_specks(contrast > _CONTRAST)
    paper = nearest_name(ground, PAPERS | BOARDS, _TOLERANCE)
    if not inked.any():
        return SeenNumber("", None, paper)
    core = inked & (contrast > 0.8 * np.percentile(contrast[inked], 90))
    ink = nearest_name(np.median(pixels[core], axis=0), INKS | CHALKS, _TOLERANCE)
    coverage = np.clip(contrast / np.percentile(contrast[inked], 90), 0, 1) * inked
    digits = "".join(_classifier().predict([_look(part).ravel() for part in _digits(coverage)]))
    return SeenNumber(digits, ink, paper)


def _digits(coverage: np.ndarray) -> list[np.ndarray]:
    """The parts of a row of digits, left to right, [H, W] each."""
    rows, columns = np.flatnonzero(coverage.any(axis=1)), np.flatnonzero(coverage.any(axis=0))
    height = rows[-1] - rows[0] + 1
    count = next((number for number, least in _TALL.items() if height >= least), 3)
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    if len(groups) == count:
        edges = [(group[0], group[-1] + 1) for group in groups]
    else:
        bounds = np.linspace(columns[0], columns[-1] + 1, count + 1).round().astype(int)
        edges = list(pairwise(bounds))
    return [coverage[:, left:right] for left, right in edges]


def _look(part: np.ndarray) -> np.ndarray:
    """One digit in the middle of a square grid, [_GRID, _GRID], as high as the grid."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    if not len(rows):
        return np.zeros((_GRID, _GRID))
    box = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(box.shape)
    square = np.pad(box, [((side - length) // 2, side - length - (side - length) // 2) for length in box.shape])
    return np.asarray(ndimage.zoom(square, _GRID / side, order=1, grid_mode=True, mode="grid-constant"))[:_GRID, :_GRID]


def _without_specks(inked: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(inked)
    sizes = ndimage.sum_labels(inked, labels, range(1, count + 1))
    return np.isin(labels, 1 + np.flatnonzero(np.asarray(sizes) >= _SPECK))


@cache
def _classifier() -> Any:
    """A support vector machine on digits by hands that training may see, written as training writes them."""
    from sklearn.svm import SVC

    rng = np.random.default_rng(_SEED)
    looks, names = [], []
    for digit in DIGITS:
        for lesson in range(_LESSONS):
            image = write(NumberSpec(digit * (1 + lesson % 3), "black", "white"), rng).astype(np.float64)
            coverage = np.clip((250 - image.mean(axis=-1)) / 220, 0, 1)
            parts = _digits(coverage * (coverage > 0.15))
            looks += [_look(part).ravel() for part in parts]
            names += [digit] * len(parts)
    return SVC(C=10, gamma="scale").fit(looks, names)
