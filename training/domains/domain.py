"""What a recipe needs to know of its images: how to think of one, draw it, and say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

Spec = TypeVar("Spec")
Roles = tuple[tuple[tuple[str, ...], ...], ...]  # of registers: each one's questions, each of them its possible answers


class Domain(Protocol[Spec]):
    """Images that one ROM can make. All randomness comes from the generator that is handed in."""

    @property
    def name(self) -> str: ...

    def random_spec(self, rng: np.random.Generator) -> Spec:
        """What one image shows, of all that training may see."""

    def image(self, spec: Spec, rng: np.random.Generator) -> np.ndarray:
        """RGB image, uint8 [128, 128, 3]."""

    def caption(self, spec: Spec, rng: np.random.Generator) -> str:
        """One of many phrasings, some of which leave things unsaid."""

    def facts(self, spec: Spec) -> dict[str, str]:
        """Every attribute of the image and its value: {"shape": "star", "colour": "red", ...}."""


@dataclass(frozen=True)
class Reading:
    """A caption, and what a reader of it must answer: one answer a question, in the order of the roles."""

    text: str
    answers: tuple[str, ...]


class ReadableDomain(Domain[Spec], Protocol[Spec]):
    """A domain whose captions come with questions: a text encoder learns to read on them."""

    @property
    def roles(self) -> Roles: ...

    def read(self, spec: Spec, rng: np.random.Generator) -> Reading:
        """A random caption and what it tells."""
