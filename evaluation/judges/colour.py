"""Colours as eyes see them: CIE Lab, and the nearest name in a palette."""

from __future__ import annotations

import numpy as np

from training.scenes import Rgb

_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_LINEAR_BELOW = (6 / 29) ** 3


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB levels 0..255, [..., 3], to CIE Lab (D65), [..., 3]; the distance of two rows is CIE76 Delta E."""
    levels = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _RGB_TO_XYZ.T / _WHITE_D65
    f = np.where(xyz > _LINEAR_BELOW, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def palette_distances(lab: np.ndarray, palette: dict[str, Rgb]) -> np.ndarray:
    """Delta E from each Lab colour [..., 3] to each entry of the palette, [..., entries]."""
    entries = to_lab(np.array(list(palette.values())))
    return np.asarray(np.linalg.norm(lab[..., None, :] - entries, axis=-1))


def nearest_name(rgb: np.ndarray, palette: dict[str, Rgb], tolerance: float) -> str | None:
    """The palette's name for one colour [3], or None when every entry is further than `tolerance` (Delta E)."""
    distances = palette_distances(to_lab(rgb), palette)
    index = int(distances.argmin())
    return list(palette)[index] if distances[index] <= tolerance else None
