"""Scenes to pixels: anti-aliased polygons."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from training.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, Placement, SceneSpec, place

SUPERSAMPLING = 4


def _regular(corners: int, start: float = -np.pi / 2) -> np.ndarray:
    angles = start + np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> np.ndarray:
    points = _regular(10)
    points[1::2] *= 0.45
    return points


def _cross(arm: float = 0.34) -> np.ndarray:
    quarter = np.array([(-arm, -1.0), (arm, -1.0), (arm, -arm)])
    turn = np.array([(0.0, 1.0), (-1.0, 0.0)])  # a quarter turn of row vectors
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, index) for index in range(4)])


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 17, (y - 2.5) / 17], axis=1)


# Outlines in a unit circle, [N, 2] as (x, y), y downward.
OUTLINES: dict[str, np.ndarray] = {
    "circle": _regular(64) * 0.92,
    "square": _regular(4, start=np.pi / 4) * 1.12,
    "triangle": _regular(3) * 1.1 + np.array([0.0, 0.2]),
    "star": _star() * 1.08,
    "ring": _regular(64),
    "cross": _cross() * 0.92,
    "heart": _heart() * 1.05,
    "diamond": _regular(4) * np.array([0.74, 1.08]),
}
RING_HOLE = 0.56  # inner radius over outer radius


def mask(shape: str, radius: float, angle: float, x: float, y: float, size: int) -> np.ndarray:
    """Coverage of one shape on a `size` x `size` canvas, [size, size] in 0..1; lengths in pixels."""
    scale = SUPERSAMPLING
    canvas = Image.new("L", (size * scale, size * scale), 0)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    draw = ImageDraw.Draw(canvas)
    centre = np.array([x, y])

    def polygon(outline: np.ndarray, fill: int) -> None:
        points = (outline @ rotation * radius + centre) * scale
        draw.polygon([(float(px), float(py)) for px, py in points], fill=fill)

    polygon(OUTLINES[shape], 255)
    if shape == "ring":
        polygon(OUTLINES[shape] * RING_HOLE, 0)
    return np.asarray(canvas.reduce(scale), dtype=np.float32) / 255


def draw(background: str, placements: list[Placement], size: int = IMAGE_SIZE) -> np.ndarray:
    """RGB image, uint8 [size, size, 3]; placements are in pixels of one of IMAGE_SIZE."""
    scale = size / IMAGE_SIZE
    image = np.empty((size, size, 3), dtype=np.float32)
    image[:] = BACKGROUNDS[background]
    for item in placements:
        x, y, radius = item.x * scale, item.y * scale, item.radius * scale
        half = int(radius * 1.25) + 2
        left, top = int(x) - half, int(y) - half
        coverage = mask(item.spec.shape, radius, item.angle, x - left, y - top, 2 * half)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + 2 * half, size), min(top + 2 * half, size)
        alpha = coverage[y0 - top : y1 - top, x0 - left : x1 - left, None]
        colour = np.array(COLOURS[item.spec.colour], dtype=np.float32)
        image[y0:y1, x0:x1] = image[y0:y1, x0:x1] * (1 - alpha) + colour * alpha
    return image.round().astype(np.uint8)


def draw_scene(spec: SceneSpec, rng: np.random.Generator, size: int = IMAGE_SIZE) -> np.ndarray:
    """RGB image, uint8 [size, size, 3]."""
    return draw(spec.background, place(spec, rng), size)
