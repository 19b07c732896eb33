"""Scenes as a contrastive loss wants them: pictures, captions, hard negatives, prompts of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from training.domains.attributes import telling_facts, values_of_attributes
from training.domains.domain import Domain
from training.loop import Draw
from training.negatives import Contradictions
from training.prompts import prompt

IGNORED = -100  # cross entropy's mark for a row that does not count


@dataclass(frozen=True)
class Attribute:
    domain: int  # its place
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class PromptGroup:
    """The prompts of one attribute's values, and which of them each picture of the batch shows."""

    prompts: list[str]
    targets: list[int]  # one a picture; IGNORED where it has no such attribute


@dataclass(frozen=True)
class ContrastiveBatch:
    images: np.ndarray  # uint8 [B, H, W, 3]
    captions: list[str]
    negatives: list[str]
    groups: list[PromptGroup]  # of attributes that some picture has
    shown: list[list[int]]  # as `labelled` gives it


class ContrastiveBatches:
    """Scenes of several domains, as many `scenes` of each, drawn once."""

    def __init__(self, domains: Sequence[Domain[Any]], scenes: int, seed: int) -> None:
        rng = np.random.default_rng((seed, 4))
        values = [values_of_attributes(domain) for domain in domains]
        self._domains = domains
        self.attributes = [
            Attribute(place, name, taken) for place, own in enumerate(values) for name, taken in own.items()
        ]
        self._contradictions = [Contradictions(own.values()) for own in values]
        self._places = np.repeat(np.arange(len(domains)), scenes)
        self._specs = [domains[int(place)].random_spec(rng) for place in self._places]
        pairs = tqdm(self._pairs(range(len(self._specs))), desc="scenes", unit="scene", dynamic_ncols=True)
        self._images = np.stack([domain.image(spec, rng) for domain, spec in pairs])
        self._facts = [telling_facts(domain, spec) for domain, spec in self._pairs(range(len(self._specs)))]

    def labelled(self, draw: Draw) -> tuple[np.ndarray, list[list[int]]]:
        """Pictures, uint8 [B, H, W, 3], and of each attribute which value each of them shows, or IGNORED."""
        rows = self._rows(draw)
        return self._images[rows], [self._targets(attribute, rows) for attribute in self.attributes]

    def draw(self, draw: Draw) -> ContrastiveBatch:
        rng, rows = draw.numpy, self._rows(draw)
        texts = [domain.caption(spec, rng) for domain, spec in self._pairs(rows)]
        places = self._places[rows]
        false = [self._contradictions[place].contradict(text, rng) for place, text in zip(places, texts, strict=True)]
        groups, shown = [], [self._targets(attribute, rows) for attribute in self.attributes]
        for attribute, targets in zip(self.attributes, shown, strict=True):
            if any(target != IGNORED for target in targets):
                groups.append(PromptGroup([prompt(attribute.name, value, rng) for value in attribute.values], targets))
        return ContrastiveBatch(self._images[rows], texts, [text for text in false if text], groups, shown)

    def _rows(self, draw: Draw) -> np.ndarray:
        return draw.numpy.integers(len(self._specs), size=draw.batch_size)

    def _pairs(self, rows: Sequence[int] | np.ndarray) -> list[tuple[Domain[Any], Any]]:
        return [(self._domains[int(self._places[row])], self._specs[row]) for row in rows]

    def _targets(self, attribute: Attribute, rows: np.ndarray) -> list[int]:
        targets = []
        for row in rows:
            told = self._facts[row].get(attribute.name) if self._places[row] == attribute.domain else None
            targets.append(attribute.values.index(told) if told in attribute.values else IGNORED)
        return targets
