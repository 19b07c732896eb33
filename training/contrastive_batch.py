"""Scenes as a contrastive loss wants them: pictures, captions, hard negatives, prompts of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.domains.attributes import telling_facts, values_of_attributes
from training.domains.domain import Domain
from training.loop import Draw
from training.negatives import Contradictions
from training.prompts import prompt

IGNORED = -100  # cross entropy's mark for a row that does not count


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
    groups: list[PromptGroup]


class ContrastiveBatches:
    """Scenes of several domains, each as often as any other."""

    def __init__(self, domains: Sequence[Domain[Any]]) -> None:
        self._domains = domains
        self._values = [values_of_attributes(domain) for domain in domains]
        self._contradictions = [Contradictions(values.values()) for values in self._values]

    def draw(self, draw: Draw) -> ContrastiveBatch:
        rng = draw.numpy
        chosen = [int(index) for index in rng.integers(len(self._domains), size=draw.batch_size)]
        specs = [self._domains[index].random_spec(rng) for index in chosen]
        pairs = list(zip(chosen, specs, strict=True))
        images = np.stack([self._domains[index].image(spec, rng) for index, spec in pairs])
        texts = [self._domains[index].caption(spec, rng) for index, spec in pairs]
        false = [self._contradictions[index].contradict(text, rng) for index, text in zip(chosen, texts, strict=True)]
        facts = [telling_facts(self._domains[index], spec) for index, spec in pairs]
        return ContrastiveBatch(images, texts, [text for text in false if text], self._groups(chosen, facts, rng))

    def _groups(self, chosen: list[int], facts: list[dict[str, str]], rng: np.random.Generator) -> list[PromptGroup]:
        groups = []
        for number, attributes in enumerate(self._values):
            for attribute, values in attributes.items():
                targets = [
                    values.index(told[attribute]) if index == number and told.get(attribute) in values else IGNORED
                    for index, told in zip(chosen, facts, strict=True)
                ]
                if any(target != IGNORED for target in targets):
                    groups.append(PromptGroup([prompt(attribute, value, rng) for value in values], targets))
        return groups
