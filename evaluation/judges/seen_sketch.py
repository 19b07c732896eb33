"""What an ink sketch shows, by pixel analysis alone: outlines and their hatching are closed to the shapes they mean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from evaluation.judges.colour import nearest_name, palette_distances, to_lab
from evaluation.judges.seen_scene import SeenObject, SeenScene, background_colour, components, levels
from evaluation.judges.silhouette import recognise
from training.scenes import BACKGROUNDS, COLOURS

_BACKGROUND_TOLERANCE = 14.0  # Delta E; white and cream are 16 apart
_INK_CONTRAST = 16.0  # Delta E from the paper; the faintest hatching, cyan on mint, has 34
_GAP = 3  # pixels: strokes that are so far apart are one surface; a ring's hole is 18 wide
_OUTLINE = 1  # pixels that outlines reach beyond the shape
_STROKE_TOLERANCE = 25.0  # Delta E; the closest two colours, blue and purple, are 33 apart
_PALE, _STRONG = 15, 85  # percentiles of the contrast within an outline: between strokes, and on them
_PALEST = 0.8  # of the strong: more of it between strokes is a flat surface. Drawn sketches have 0, flat shapes 1
_LEADING_SHARE = 0.6  # of the strokes' pixels: with less of them in one colour, an object has none


def read_sketch(image: np.ndarray) -> SeenScene:
    """Read an image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3]. What is not hatched has no colour.

    Raises ValueError when the array is something else.
    """
    pixels = levels(image)
    paper = background_colour(pixels)
    objects = sorted(_objects(to_lab(pixels), to_lab(paper)), key=lambda item: item.radius, reverse=True)
    return SeenScene(nearest_name(paper, BACKGROUNDS, _BACKGROUND_TOLERANCE), tuple(objects))


def _objects(lab: np.ndarray, paper: np.ndarray) -> Iterator[SeenObject]:
    contrast = np.linalg.norm(lab - paper, axis=-1)
    inked = contrast > _INK_CONTRAST
    closed = ndimage.binary_closing(np.pad(inked, _GAP), _disk(_GAP))[_GAP:-_GAP, _GAP:-_GAP]
    for blob in _apart(closed):
        inner = ndimage.binary_erosion(blob, _disk(_OUTLINE))
        outline = recognise(inner if inner.any() else blob)
        colour = _hatching(lab[blob & inked]) if _is_hatched(contrast, blob) else None
        yield SeenObject(outline.shape, colour, outline.radius, outline.x, outline.y, outline.overlap)


def _apart(closed: np.ndarray) -> Iterator[np.ndarray]:
    """Connected blobs, parted where only outlines touch; those that are outline alone stay as they are."""
    for blob in components(closed):
        parts = list(components(ndimage.binary_opening(blob, _disk(_OUTLINE))))
        yield from parts or [blob]


def _is_hatched(contrast: np.ndarray, blob: np.ndarray) -> bool:
    """Whether strokes stand out within the outline, from paper or from a wash."""
    within = ndimage.binary_erosion(blob, _disk(_GAP))
    pale, strong = np.percentile(contrast[within if within.any() else blob], (_PALE, _STRONG))
    return bool(pale < _PALEST * strong)


def _hatching(lab: np.ndarray) -> str | None:
    """The colour of most strokes among inked pixels [N, 3]; None where no colour leads. Ink is near none of them."""
    distances = palette_distances(lab, COLOURS)
    near = distances.argmin(axis=-1)[distances.min(axis=-1) <= _STROKE_TOLERANCE]
    counts = np.bincount(near, minlength=len(COLOURS))
    if not counts.sum() or counts.max() < _LEADING_SHARE * counts.sum():
        return None
    return list(COLOURS)[int(counts.argmax())]


def _disk(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius + 1)
