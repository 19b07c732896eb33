"""Zero-shot accuracy: how often a picture is nearest to the prompt that is true of it (Radford et al. 2021, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.backends.clip import Clip
from training.domains.attributes import telling_facts, values_of_attributes
from training.domains.domain import Domain, Spec
from training.negatives import Contradictions
from training.prompts import prompt

_SEED = 20_210_103  # that no training recipe uses
_ALTERNATIVES = 4


def accuracies(clip: Clip, domain: Domain[Spec], scenes: int, seed: int = _SEED) -> dict[str, float]:
    """The share, 0..1, of scenes told right: each attribute by its prompts, and `caption` by whole captions.

    `caption` is right where the true caption is nearer than four of it with one thing told wrongly.
    """
    rng = np.random.default_rng(seed)
    specs = [domain.random_spec(rng) for _ in range(scenes)]
    images = clip.images([domain.image(spec, rng) for spec in specs])
    attributes = values_of_attributes(domain)
    shares = {}
    for attribute, values in attributes.items():
        told = [(row, facts[attribute]) for row, facts in _facts(domain, specs) if attribute in facts]
        if told:
            read = read_attribute(clip, images[[row for row, _ in told]], attribute, values)
            shares[attribute] = float(np.mean([own == truth for own, (_, truth) in zip(read, told, strict=True)]))
    captions = [domain.caption(spec, rng) for spec in specs]
    shares["caption"] = caption_accuracy(clip, images, captions, Contradictions(attributes.values()), rng)
    return shares


def read_attribute(clip: Clip, images: np.ndarray, attribute: str, values: Sequence[str]) -> list[str]:
    """The value whose prompt is nearest, for each embedded picture [N, D]."""
    texts = clip.texts([prompt(attribute, value) for value in values])
    return [values[place] for place in (images @ texts.T).argmax(1)]


def caption_accuracy(
    clip: Clip, images: np.ndarray, captions: list[str], contradictions: Contradictions, rng: np.random.Generator
) -> float:
    """The share, 0..1, of embedded pictures [N, D] that are nearer to their caption than to false versions of it."""
    truths = (images * clip.texts(captions)).sum(1)
    right = np.ones(len(captions), dtype=bool)
    for _ in range(_ALTERNATIVES):
        false = [contradictions.contradict(caption, rng) or "" for caption in captions]
        right &= truths > (images * clip.texts(false)).sum(1)
    return float(right.mean())


def _facts(domain: Domain[Spec], specs: list[Spec]) -> list[tuple[int, dict[str, str]]]:
    return [(row, telling_facts(domain, spec)) for row, spec in enumerate(specs)]
