"""Folders of images with captions, as a user may have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

ATTRIBUTES = ("Bushy_Eyebrows", "Smiling", "No_Beard")


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (20, 24)) -> Path:
    """Random pixels, `size` wide and high. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_captioned(folder: Path, captions: dict[str, str]) -> Path:
    """Images by name, each with a text beside it. Returns `folder`."""
    for seed, (name, caption) in enumerate(captions.items()):
        path = write_image(folder / name, seed)
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return folder


def write_celeba(folder: Path, images: int = 6) -> Path:
    """Images, and CelebA's list of three attributes, which image i has by the bits of i. Returns `folder`."""
    lines = [str(images), " ".join(ATTRIBUTES)]
    for index in range(images):
        name = f"{index:06}.jpg"
        write_image(folder / name, index)
        lines.append(f"{name}  " + "  ".join("1" if index >> bit & 1 else "-1" for bit in range(len(ATTRIBUTES))))
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
