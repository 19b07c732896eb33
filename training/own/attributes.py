"""Attributes to captions: what is true of an image, in a template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from training.own.errors import OwnDataError

PLACE = "{attributes}"
DEFAULT_TEMPLATE = f"photo of person, {PLACE}"


@dataclass(frozen=True)
class AttributeCaptions:
    """How attributes are said. Raises OwnDataError for a template that has no place for them."""

    template: str = DEFAULT_TEMPLATE
    unsaid: float = 0.1  # the chance that an attribute is left out while training, 0..1

    def __post_init__(self) -> None:
        if PLACE not in self.template:
            raise OwnDataError(f"--template {self.template!r} has no {PLACE} in it")

    def full(self, names: Iterable[str]) -> str:
        """All of them in their order."""
        return self._fill([spoken(name) for name in names])

    def random(self, names: Iterable[str], rng: np.random.Generator) -> str:
        """Some of them in any order."""
        said = [spoken(name) for name in names if rng.random() >= self.unsaid]
        return self._fill([said[index] for index in rng.permutation(len(said))])

    def _fill(self, said: list[str]) -> str:
        text = self.template.replace(PLACE, ", ".join(said))
        return text if said else ", ".join(part for part in map(str.strip, text.split(",")) if part)


def spoken(name: str) -> str:
    """`Bushy_Eyebrows` as words: bushy eyebrows."""
    return " ".join(name.replace("_", " ").lower().split())
