"""Features of pictures of shapes without any network: what pixel analysis sees, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.judges.seen_scene import SeenObject, SeenScene, read_scene
from training.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, SHAPES

_OBJECTS = 4


class OracleFeatures:
    """Background, number of objects, and of the four largest their shape, colour, size and place."""

    name = "oracle"

    def images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """[N, D] of pictures, uint8 [128, 128, 3] each. Raises ValueError for others."""
        return np.stack([_vector(read_scene(image)) for image in images])


def _vector(scene: SeenScene) -> np.ndarray:
    """Objects from left to right and top to bottom, so that their order is that of their places."""
    largest = sorted(scene.objects[:_OBJECTS], key=lambda item: (round(item.x / IMAGE_SIZE * 3), item.y))
    parts = [_one_hot(scene.background, tuple(BACKGROUNDS)), np.array([len(scene.objects) / _OBJECTS])]
    parts += [_object(item) for item in largest]
    parts += [np.zeros_like(_object(None))] * (_OBJECTS - len(largest))
    return np.concatenate(parts)


def _object(item: SeenObject | None) -> np.ndarray:
    numbers = (item.radius / 32, item.x / IMAGE_SIZE, item.y / IMAGE_SIZE, item.overlap) if item else (0.0,) * 4
    shape, colour = (item.shape, item.colour) if item else (None, None)
    return np.concatenate([_one_hot(shape, SHAPES), _one_hot(colour, tuple(COLOURS)), numbers])


def _one_hot(name: str | None, names: tuple[str, ...]) -> np.ndarray:
    return np.array([float(name == other) for other in names])
