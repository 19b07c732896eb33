"""Pictures of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def picture_files(directory: Path) -> list[Path]:
    """In the order of their names."""
    return sorted(path for path in directory.iterdir() if path.suffix.lower() in _SUFFIXES)


def read_pictures(directory: Path, limit: int | None = None) -> list[np.ndarray]:
    """RGB, uint8 [H, W, 3] each, in the order of their names.

    Raises ValueError, naming the folder or the file, where there are none or one cannot be read.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is no folder")
    files = picture_files(directory)[:limit]
    if not files:
        raise ValueError(f"{directory} holds no pictures ({', '.join(sorted(_SUFFIXES))})")
    return [_read(path) for path in files]


def write_pictures(images: Sequence[np.ndarray], directory: Path) -> None:
    """As 00000.png, 00001.png, ..., which `read_pictures` gives back in this order."""
    directory.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(directory / f"{index:05}.png")


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"{path} cannot be read as a picture") from error
