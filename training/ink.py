"""Scenes as ink sketches: wavering outlines, hatching in the object's colour, on the paper of the background."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from training.drawing import OUTLINES, RING_HOLE, SUPERSAMPLING, mask
from training.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, Placement, SceneSpec, place

INK = (34, 30, 38)
INK_ON_DARK = (226, 222, 210)  # chalk
_DARK_BELOW = 90  # mean level of a background
_HATCH_GAP = 8  # pixels between strokes, along a row: that of the autoencoder's cells, so that all of them are alike
_HATCH_WIDTH = 3.0
_LINE_WIDTH = (1.8, 2.6)
_WAVER = 0.03  # of the radius: how far an outline strays


def sketch_scene(spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
    """RGB image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3]."""
    return sketch(spec.background, place(spec, rng), rng)


def sketch(background: str, placements: list[Placement], rng: np.random.Generator) -> np.ndarray:
    """Placements in ink, whose strokes `rng` draws."""
    paper = BACKGROUNDS[background]
    ink = INK_ON_DARK if np.mean(paper) < _DARK_BELOW else INK
    canvas = Image.new("RGB", (IMAGE_SIZE * SUPERSAMPLING,) * 2, paper)
    for item in placements:
        _hatch(canvas, item)
        _outline(canvas, item, ink, rng)
    return np.asarray(canvas.reduce(SUPERSAMPLING))


def _hatch(canvas: Image.Image, item: Placement) -> None:
    """Strokes of its colour where the shape is, as on ruled paper: the same lines for all objects."""
    strokes = Image.new("L", canvas.size, 0)
    draw, gap = ImageDraw.Draw(strokes), _HATCH_GAP * SUPERSAMPLING
    for start in range(gap // 2, 2 * canvas.width, gap):
        draw.line((start, 0, 0, start), fill=255, width=round(_HATCH_WIDTH * SUPERSAMPLING))
    radius, x, y = (length * SUPERSAMPLING for length in (item.radius, item.x, item.y))
    inside = mask(item.spec.shape, radius, item.angle, x, y, canvas.width)
    coverage = np.asarray(strokes, dtype=np.float32) * inside
    canvas.paste(COLOURS[item.spec.colour], mask=Image.fromarray(coverage.astype(np.uint8)))


def _outline(canvas: Image.Image, item: Placement, ink: tuple[int, int, int], rng: np.random.Generator) -> None:
    rotation = np.array([[np.cos(item.angle), np.sin(item.angle)], [-np.sin(item.angle), np.cos(item.angle)]])
    draw, width = ImageDraw.Draw(canvas), rng.uniform(*_LINE_WIDTH)
    outline = OUTLINES[item.spec.shape]
    for curve in (outline, outline * RING_HOLE) if item.spec.shape == "ring" else (outline,):
        points = _waver(_dense(curve), rng) @ rotation * item.radius + (item.x, item.y)
        closed = [(float(x), float(y)) for x, y in np.concatenate([points, points[:2]]) * SUPERSAMPLING]
        draw.line(closed, fill=ink, width=round(width * SUPERSAMPLING), joint="curve")


def _dense(outline: np.ndarray, points: int = 96) -> np.ndarray:
    """The same closed curve [N, 2] as points that are equally far apart, [points, 2]."""
    closed = np.concatenate([outline, outline[:1]])
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(closed, axis=0), axis=1).cumsum()])
    at = np.linspace(0, lengths[-1], points, endpoint=False)
    return np.stack([np.interp(at, lengths, closed[:, axis]) for axis in range(2)], axis=1)


def _waver(curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slow random wave across the curve, as of a hand."""
    phase = np.linspace(0, 2 * np.pi, len(curve), endpoint=False)
    waves = [rng.normal() * np.cos(k * phase + rng.uniform(0, 2 * np.pi)) / k for k in range(2, 7)]
    return np.asarray(curve * (1 + _WAVER * np.sum(waves, axis=0)[:, None]))
