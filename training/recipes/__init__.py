"""How each embedded ROM is made, one recipe a file: sizes, steps and the words of its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from training.recipes.clip import CLIP
from training.recipes.digits import DIGITS
from training.recipes.shapes import SHAPES
from training.recipes.shapes_small import SHAPES_SMALL
from training.recipes.shapes_turbo import SHAPES_TURBO
from training.recipes.sketch import SKETCH
from training.recipes.upscaler import UPSCALER
from training.recipes.vq import VQ


class Recipe(Protocol):
    """All that it takes to make one ROM."""

    def make(self, work: Path, store: Path) -> None:
        """Run every stage that `work` does not hold the result of yet, then write the ROM below `store`."""

    def smoke(self) -> Recipe:
        """The same stages with next to no work in them: shows that everything fits together, in under a minute."""


RECIPES: dict[str, Recipe] = {
    "shapes": SHAPES,
    "shapes-small": SHAPES_SMALL,
    "shapes-turbo": SHAPES_TURBO,
    "sketch": SKETCH,
    "digits": DIGITS,
    "clip": CLIP,
    "upscaler": UPSCALER,
    "vq": VQ,
}
