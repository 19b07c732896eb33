"""What shape a blob has: its overlap with every shape's template, once place and size are normalised away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from training.drawing import mask
from training.scenes import SHAPES

_GRID = 64  # cells a side of the normalised frame
_HALF_FRAME = 1.1  # half the frame's side, in square roots of the blob's filled area
_ANGLES = np.linspace(-0.2, 0.2, 9)  # radians
_TEMPLATE_RADIUS = 48.0  # pixels
_MINIMUM_OVERLAP = 0.8  # intersection over union; a small star, blurred, has 0.83; below, a blob is none of the shapes


@dataclass(frozen=True)
class Silhouette:
    """A blob's outline: its shape (None: none of them) and the overlap, 0..1, with the best template.

    Radius and centre are those the shape would be drawn with, in pixels; pixel i spans i..i+1.
    """

    shape: str | None
    overlap: float
    radius: float
    x: float
    y: float


@dataclass(frozen=True)
class _Template:
    shape: str
    frame: np.ndarray  # bool [_GRID, _GRID]
    area_of_unit: float  # filled area of the shape of radius 1
    offset: tuple[float, float]  # (y, x) from the filled centroid to the drawn centre, for radius 1


def recognise(blob: np.ndarray) -> Silhouette:
    """The best template for one connected blob, bool [H, W]."""
    frame, area, (y, x) = _normalise(blob)
    overlaps = [_overlap(frame, template.frame) for template in _templates()]
    best = int(np.argmax(overlaps))
    template, overlap = _templates()[best], overlaps[best]
    radius = float(np.sqrt(area / template.area_of_unit))
    dy, dx = template.offset
    shape = template.shape if overlap >= _MINIMUM_OVERLAP else None
    return Silhouette(shape, overlap, radius, x + dx * radius, y + dy * radius)


def _normalise(blob: np.ndarray) -> tuple[np.ndarray, float, tuple[float, float]]:
    """The blob in the normalised frame (bool [_GRID, _GRID]), its filled area and filled centroid (y, x) in pixels."""
    filled = ndimage.binary_fill_holes(blob)
    area = float(filled.sum())
    y, x = ndimage.center_of_mass(filled)
    steps = np.linspace(-_HALF_FRAME, _HALF_FRAME, _GRID) * np.sqrt(area)
    rows, columns = np.meshgrid(y + steps, x + steps, indexing="ij")
    sampled = ndimage.map_coordinates(blob.astype(np.float32), [rows, columns], order=1)
    return sampled > 0.5, area, (float(y) + 0.5, float(x) + 0.5)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@cache
def _templates() -> tuple[_Template, ...]:
    return tuple(_template(shape, float(angle)) for shape in SHAPES for angle in _ANGLES)


def _template(shape: str, angle: float) -> _Template:
    size = int(_TEMPLATE_RADIUS * 3)
    coverage = mask(shape, _TEMPLATE_RADIUS, angle, size / 2, size / 2, size)
    frame, area, centroid = _normalise(coverage > 0.5)
    dy, dx = ((size / 2 - middle) / _TEMPLATE_RADIUS for middle in centroid)
    return _Template(shape, frame, area / _TEMPLATE_RADIUS**2, (dy, dx))
