"""Whether plain backgrounds come out as bright as they should (Lin et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.scenes import BACKGROUNDS, Rgb

_RIM = 8  # pixels at each side of a picture: in scenes of shapes there is background alone
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def brightness(colour: Rgb | np.ndarray) -> float:
    """Luma of one RGB colour, 0 to 255."""
    return float(np.asarray(colour, dtype=float) @ _LUMA)


def background_brightness(image: np.ndarray) -> float:
    """Mean luma, 0 to 255, of the rim of a picture, uint8 [H, W, 3]."""
    inner = np.zeros(image.shape[:2], dtype=bool)
    inner[_RIM:-_RIM, _RIM:-_RIM] = True
    return brightness(image[~inner].mean(axis=0))


def brightness_errors(images: Sequence[np.ndarray], backgrounds: Sequence[str]) -> dict[str, float]:
    """By background, and as `all`: the mean absolute difference from the brightness that its name stands for."""
    errors: dict[str, list[float]] = {}
    for image, name in zip(images, backgrounds, strict=True):
        errors.setdefault(name, []).append(abs(background_brightness(image) - brightness(BACKGROUNDS[name])))
    found = {name: float(np.mean(errors[name])) for name in BACKGROUNDS if name in errors}
    return {**found, "all": float(np.mean([error for some in errors.values() for error in some]))}
