"""Handwritten digits as ink on paper: the 8x8 images of scikit-learn's `load_digits`, enlarged into smooth strokes.

They are the test part of Alpaydin & Kaynak's "Optical Recognition of Handwritten Digits" (UCI, CC BY 4.0): 1797 images
by 13 writers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from training.scenes import IMAGE_SIZE
from training.written_numbers import BOARDS, CHALKS, DIGITS, INKS, PAPERS, NumberSpec

_MARGIN = 2  # cells of paper around a sample
_HELD_OUT_EVERY = 5  # samples of a digit: every fifth is kept for evaluation
_HEIGHT = {1: (84.0, 96.0), 2: (68.0, 76.0), 3: (52.0, 58.0)}  # pixels, by digits in the image
_PITCH = {1: 0.0, 2: 54.0, 3: 38.0}  # pixels from one digit to the next
_NARROWER = {1: 0.92, 2: 0.86, 3: 0.8}  # width over height of a cell
_SLANT = 0.12  # of the height, either way
_STROKE_LEVEL = 0.47  # of full ink: the edge of a stroke
_SHARPENING, _SHARPENING_RADIUS = 1.2, 1.0  # unsharp mask, radius in cells: opens the holes of 4, 6, 8, 9
_BLUR = 0.4  # cells


@cache
def samples(digit: str, held_out: bool) -> np.ndarray:
    """Images of one digit, float [N, 12, 12], ink near 1, centred in the row: those to train on, or those held out."""
    from sklearn.datasets import load_digits  # here, so that other recipes run without it

    data = load_digits()
    images = data.images[data.target == DIGITS.index(digit)] / 16
    is_held_out = np.arange(len(images)) % _HELD_OUT_EVERY == 0
    padded = np.pad(images[is_held_out == held_out], ((0, 0), (_MARGIN,) * 2, (_MARGIN,) * 2))
    return np.stack([_smooth(_centred(image)) for image in padded])


def write(spec: NumberSpec, rng: np.random.Generator, held_out: bool = False) -> np.ndarray:
    """RGB image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3], by hands that training may see, or by those held out."""
    count = len(spec.digits)
    height = rng.uniform(*_HEIGHT[count])
    middle = IMAGE_SIZE / 2 + rng.uniform(-1, 1, 2) * (6 - 2 * count, 6)
    coverage = np.zeros((IMAGE_SIZE, IMAGE_SIZE))
    for index, digit in enumerate(spec.digits):
        hands = samples(digit, held_out)
        x, y = middle + rng.uniform(-1.5, 1.5, 2)
        x += (index - (count - 1) / 2) * _PITCH[count]
        sample = hands[int(rng.integers(len(hands)))]
        stroke = _stroke(sample, (x, y), height / 8, _NARROWER[count], rng.uniform(-_SLANT, _SLANT))
        coverage = np.maximum(coverage, stroke)
    paper, ink = np.array((PAPERS | BOARDS)[spec.paper]), np.array((INKS | CHALKS)[spec.ink])
    image: np.ndarray = paper + (ink - paper) * coverage[..., None]
    return image.round().astype(np.uint8)


def _centred(image: np.ndarray) -> np.ndarray:
    """Shifted sideways by whole cells, so that its ink is in the middle."""
    columns = np.flatnonzero(image.max(axis=0) > 0.3)
    return np.roll(image, round((image.shape[1] - 1 - columns[0] - columns[-1]) / 2), axis=1)


def _smooth(image: np.ndarray) -> np.ndarray:
    sharp = image + _SHARPENING * (image - ndimage.gaussian_filter(image, _SHARPENING_RADIUS))
    return np.asarray(ndimage.gaussian_filter(sharp, _BLUR))


def _stroke(sample: np.ndarray, centre: tuple[float, float], cell: float, narrower: float, slant: float) -> np.ndarray:
    """Ink coverage [IMAGE_SIZE, IMAGE_SIZE] in 0..1; `cell` is the height in pixels of a sample's pixel."""
    pixels = np.arange(IMAGE_SIZE) + 0.5
    down, right = np.meshgrid(pixels - centre[1], pixels - centre[0], indexing="ij")
    middle = (len(sample) - 1) / 2
    rows, columns = middle + down / cell, middle + (right + slant * down) / (cell * narrower)
    level = ndimage.map_coordinates(sample, [rows, columns], order=3)
    return np.asarray(np.clip((level - _STROKE_LEVEL) * cell * 1.2 + 0.5, 0, 1))
