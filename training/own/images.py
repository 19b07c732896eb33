"""A user's images: those of a folder with their captions, each loaded at the size of a ROM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from training.own.attributes import AttributeCaptions
from training.own.errors import OwnDataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True)
class OwnImage:
    """One image, and what is said of it: a text or, where that is None, attributes."""

    name: str  # its path in the folder, with slashes
    path: Path
    origin: str  # the file, and the row in it, that has the caption
    text: str | None = None
    attributes: tuple[str, ...] = ()  # that are true of it


@dataclass(frozen=True)
class OwnImages:
    """All images of a folder, by name."""

    images: tuple[OwnImage, ...]
    attributes: AttributeCaptions = field(default_factory=AttributeCaptions)

    def __len__(self) -> int:
        return len(self.images)

    def caption(self, row: int, rng: np.random.Generator) -> str:
        """One of an image's phrasings."""
        image = self.images[row]
        return image.text if image.text is not None else self.attributes.random(image.attributes, rng)

    def captions(self) -> list[str]:
        """Of every image the one that says everything."""
        return [
            image.text if image.text is not None else self.attributes.full(image.attributes) for image in self.images
        ]


def find_images(folder: Path) -> list[str]:
    """Names of all images below `folder`, sorted; hidden ones are none. Raises OwnDataError where there is no image."""
    if not folder.is_dir():
        raise OwnDataError(f"{folder} is no folder")
    names = [name for name in visible_files(folder) if name.lower().endswith(SUFFIXES)]
    if not names:
        raise OwnDataError(f"{folder} holds no image ({', '.join(SUFFIXES)})")
    return names


def visible_files(folder: Path) -> list[str]:
    """Names of all files below `folder`, with slashes, sorted; hidden ones, and those in hidden folders, left out."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))


def load_images(images: Sequence[OwnImage], width: int, height: int) -> np.ndarray:
    """RGB, uint8 [N, height, width, 3]: upright, resized until they fill the size, and cut at their centres.

    What is transparent becomes white. Raises OwnDataError naming the file, and the row that asked for it.
    """
    return np.stack([_load(image, width, height) for image in images])


def _load(image: OwnImage, width: int, height: int) -> np.ndarray:
    try:
        with Image.open(image.path, formats=_FORMATS) as file:
            upright = ImageOps.exif_transpose(file)
            pixels = _on_white(upright) if upright.has_transparency_data else upright.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        kinds = ", ".join(_FORMATS)
        raise OwnDataError(f"{image.path} ({image.origin}) cannot be read as a whole {kinds}: {error}") from error
    return np.asarray(ImageOps.fit(pixels, (width, height), Image.Resampling.LANCZOS))


def _on_white(image: Image.Image) -> Image.Image:
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
