"""What a recipe draws from: scenes with their pictures, captions and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from training.captions import random_caption
from training.drawing import draw_scene
from training.scenes import SIZES, ObjectSpec, SceneSpec, held_out_combinations, random_spec

_VOCABULARY_SCENES = 4000
_VOCABULARY_SEED = 41


class Domain(Protocol):
    """A kind of scenes."""

    @property
    def name(self) -> str:
        """Of reports."""

    def random_spec(self, rng: np.random.Generator) -> Any:
        """What one scene shows."""

    def image(self, spec: Any, rng: np.random.Generator) -> np.ndarray:
        """The scene, uint8 [128, 128, 3]."""

    def caption(self, spec: Any, rng: np.random.Generator) -> str:
        """Words that are true of the scene; some of it may stay unsaid."""

    def facts(self, spec: Any) -> dict[str, str]:
        """The value of each attribute that the scene has one of, such as {"colour": "red"}."""


@dataclass(frozen=True)
class ShapeScenes:
    """The scenes of the ROM `shapes`; with `held_out`, one object in a combination that training never shows."""

    name: str = "shapes"
    held_out: bool = False

    def random_spec(self, rng: np.random.Generator) -> SceneSpec:
        if not self.held_out:
            return random_spec(rng)
        combinations = held_out_combinations()
        shape, colour, background = combinations[int(rng.integers(len(combinations)))]
        return SceneSpec(background, (ObjectSpec(shape, colour, str(rng.choice(SIZES))),))

    def image(self, spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
        return draw_scene(spec, rng)

    def caption(self, spec: SceneSpec, rng: np.random.Generator) -> str:
        return random_caption(spec, rng).text

    def facts(self, spec: SceneSpec) -> dict[str, str]:
        facts = {"background": spec.background}
        if spec.relation:
            return {**facts, "relation": spec.relation}
        item = spec.objects[0]
        return {**facts, "shape": item.shape, "colour": item.colour, "size": item.size, "count": str(spec.count)}


def values_of_attributes(domain: Domain, scenes: int = _VOCABULARY_SCENES) -> dict[str, tuple[str, ...]]:
    """Every value that each attribute of the domain takes, sorted, as some thousands of random scenes tell."""
    rng = np.random.default_rng(_VOCABULARY_SEED)
    seen: dict[str, set[str]] = {}
    for _ in range(scenes):
        for attribute, value in domain.facts(domain.random_spec(rng)).items():
            seen.setdefault(attribute, set()).add(value)
    return {attribute: tuple(sorted(values)) for attribute, values in sorted(seen.items())}


def captions(domains: Sequence[Domain], count: int, rng: np.random.Generator) -> list[str]:
    """`count` captions of random scenes, of each domain in turn."""
    chosen = [domains[index % len(domains)] for index in range(count)]
    return [domain.caption(domain.random_spec(rng), rng) for domain in chosen]
