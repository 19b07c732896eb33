"""What an image shows, by pixel analysis alone: the background and every object on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from evaluation.judges.colour import nearest_name, palette_distances, to_lab
from evaluation.judges.silhouette import recognise
from training.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, SIZE_BOUNDARY

_BORDER = 4  # pixels: the frame that the background's colour is read from
_BACKGROUND_TOLERANCE = 14.0  # Delta E; white and cream are 16 apart
_COLOUR_TOLERANCE = 25.0  # Delta E; the closest two, blue and purple, are 33 apart
_FOREGROUND_CONTRAST = 16.0  # Delta E from the background; the faintest pair, cyan on mint, has 34
_MINIMUM_AREA = 48  # pixels: an eighth of the smallest object; less is a speck
_EVEN_SHARE = 0.6  # of an object's core: with less of it in one colour, the object has none


@dataclass(frozen=True)
class SeenObject:
    """One blob. Shape and colour are None when they resemble nothing known; lengths in pixels, as in `Placement`."""

    shape: str | None
    colour: str | None
    radius: float
    x: float
    y: float
    overlap: float  # 0..1, how well the shape's template fits

    @property
    def size(self) -> str:
        return "small" if self.radius < SIZE_BOUNDARY else "large"


@dataclass(frozen=True)
class SeenScene:
    """What was found; the background is None when its colour is none of the known ones. Largest object first."""

    background: str | None
    objects: tuple[SeenObject, ...]


def read_scene(image: np.ndarray) -> SeenScene:
    """Read an image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3].

    Raises ValueError when the array is something else.
    """
    pixels = levels(image)
    ground = background_colour(pixels)
    objects = list(_objects(pixels, ground))
    objects.sort(key=lambda item: item.radius, reverse=True)
    return SeenScene(nearest_name(ground, BACKGROUNDS, _BACKGROUND_TOLERANCE), tuple(objects))


def levels(image: np.ndarray) -> np.ndarray:
    """The same as float64. Raises ValueError unless it is uint8 [IMAGE_SIZE, IMAGE_SIZE, 3]."""
    if image.dtype != np.uint8 or image.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise ValueError(f"expected uint8 [{IMAGE_SIZE}, {IMAGE_SIZE}, 3], got {image.dtype} {list(image.shape)}")
    return image.astype(np.float64)


def background_colour(pixels: np.ndarray) -> np.ndarray:
    """Median colour [3] of the border."""
    border = np.ones(pixels.shape[:2], dtype=bool)
    border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return np.asarray(np.median(pixels[border], axis=0))


def _objects(pixels: np.ndarray, ground: np.ndarray) -> Iterator[SeenObject]:
    """Each region of the foreground as it is; or, when it looks like nothing, as the objects that touch in it."""
    lab = to_lab(pixels)
    foreground = np.linalg.norm(lab - to_lab(ground), axis=-1) > _FOREGROUND_CONTRAST
    for region in components(foreground):
        found = [_describe(pixels, blob) for blob in _solid(region, pixels, ground)]
        if any(item.shape is None for item in found):
            parts = _single_coloured(region, lab)
            apart = [_describe(pixels, blob) for part in parts for blob in _solid(part, pixels, ground)]
            if apart and all(item.shape is not None for item in apart):
                found = apart
        yield from found


def _solid(region: np.ndarray, pixels: np.ndarray, ground: np.ndarray) -> Iterator[np.ndarray]:
    """Blobs of a region, bool [H, W], cut where paint covers half of the background: soft rims end there."""
    contrast = np.linalg.norm(pixels - ground, axis=-1)
    yield from components(region & (contrast > np.median(contrast[_core(region)]) / 2))


def _single_coloured(region: np.ndarray, lab: np.ndarray) -> Iterator[np.ndarray]:
    """The parts of a region that are nearest to one colour each."""
    indices = _palette_indices(lab)
    for index in np.unique(indices[_core(region)]):
        yield from components(ndimage.binary_opening(region & (indices == index), np.ones((3, 3))))


def _palette_indices(lab: np.ndarray) -> np.ndarray:
    """The nearest of COLOURS to each Lab colour [..., 3], as its index [...]."""
    return np.asarray(palette_distances(lab, COLOURS).argmin(axis=-1))


def components(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Connected components of bool [H, W], without specks."""
    labels, count = ndimage.label(pixels)
    for label in range(1, count + 1):
        component = labels == label
        if component.sum() >= _MINIMUM_AREA:
            yield component


def _core(blob: np.ndarray) -> np.ndarray:
    """The blob without its soft rim; a blob that is all rim stays whole."""
    for depth in (3, 2, 1):
        eroded = ndimage.binary_erosion(blob, iterations=depth)
        if eroded.sum() >= _MINIMUM_AREA // 2:
            return np.asarray(eroded)
    return blob


def _describe(pixels: np.ndarray, blob: np.ndarray) -> SeenObject:
    outline = recognise(blob)
    return SeenObject(outline.shape, _paint(pixels[_core(blob)]), outline.radius, outline.x, outline.y, outline.overlap)


def _paint(core: np.ndarray) -> str | None:
    """The name of the colour of most pixels [N, 3]; None when they are of no known colour, or of several."""
    median = np.median(core, axis=0)
    even = np.linalg.norm(to_lab(core) - to_lab(median), axis=-1) <= _COLOUR_TOLERANCE
    return nearest_name(median, COLOURS, _COLOUR_TOLERANCE) if even.mean() >= _EVEN_SHARE else None
