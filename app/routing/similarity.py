"""How near a prompt is to the examples of each domain, in the space of any text embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.routing.choice import ConditionalLogit

Embed = Callable[[Sequence[str]], np.ndarray]  # texts to vectors [texts, features]
NEAREST = 5
_FAR = -10.0  # a score where a domain has no examples: nothing is near


@dataclass(frozen=True)
class _Neighbours:
    """The examples of one domain, and how near texts are to them that are of the domain, and that are not."""

    examples: np.ndarray  # [examples, features], unit norm
    centre: float
    spread: float

    def score(self, cosines: np.ndarray) -> np.ndarray:
        """Standardised [...] of cosines with the examples [..., examples]."""
        return (nearest_mean(cosines) - self.centre) / self.spread


class Similarity:
    """Mean cosine of the nearest five examples, standardised for each domain, as log-likelihoods.

    Standardised: less the mean, over the standard deviation, both over the domain's own examples (each left out of
    those it is compared with) and over all other texts, the two halves weighing the same. A text that is near nothing
    has low scores everywhere and is out of domain. Reading changes nothing, as far as `embed` does not.
    """

    def __init__(self, embed: Embed, texts: Sequence[str], labels: np.ndarray, domains: int) -> None:
        """Texts with their labels [N], the places of domains; the number of domains: out of domain."""
        self._embed = embed
        vectors = unit(embed(texts))
        cosines = vectors @ vectors.T
        self._domains = [_neighbours(vectors, cosines, labels == place) for place in range(domains)]
        self._unseen = np.full((len(texts), domains), _FAR)
        for place, domain in enumerate(self._domains):
            own = labels == place
            if domain is not None:
                self._unseen[:, place] = domain.score(_without_itself(cosines, own))
        self._choice = ConditionalLogit.fit(self._unseen, labels)

    def log_likelihood(self, text: str, image: np.ndarray | None = None) -> np.ndarray:
        """[domains + 1], the last one out of domain.

        `image` is the vector of a picture in the same space, [features]. Pictures lie apart from texts there (Liang et
        al. 2022), so that one tells domains from each other and not whether it is of any: its scores are moved to the
        mean of the text's, and the two count the same.
        """
        scores = self._scores(unit(self._embed([text]))[0])
        if image is not None:
            seen, known = self._scores(unit(image)), np.array([one is not None for one in self._domains])
            seen[known] += scores[known].mean() - seen[known].mean()
            scores = (scores + seen) / 2
        return self._choice(scores)

    def _scores(self, vector: np.ndarray) -> np.ndarray:
        """[domains]"""
        return np.array([_FAR if one is None else float(one.score(one.examples @ vector)) for one in self._domains])

    def unseen(self) -> np.ndarray:
        """[N, domains + 1] of the texts it was made from, none compared with itself."""
        return self._choice(self._unseen)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Of norm 1 along the last axis, in float32; zeros stay zeros."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1.0))


def nearest_mean(cosines: np.ndarray) -> np.ndarray:
    """Mean of the largest five along the last axis, or of as many as there are; -inf stands for none."""
    ordered = -np.sort(-cosines, axis=-1)[..., :NEAREST]
    there = np.isfinite(ordered)
    return np.asarray(np.where(there, ordered, 0.0).sum(axis=-1) / np.maximum(1, there.sum(axis=-1)))


def _neighbours(vectors: np.ndarray, cosines: np.ndarray, own: np.ndarray) -> _Neighbours | None:
    """None where the domain has no examples."""
    if not own.any():
        return None
    near = nearest_mean(_without_itself(cosines, own))
    halves = [near[own], near[~own]] if not own.all() else [near]
    centre = float(np.mean([half.mean() for half in halves]))
    spread = float(np.sqrt(np.mean([((half - centre) ** 2).mean() for half in halves])))
    return _Neighbours(vectors[own], centre, max(spread, 1e-3))


def _without_itself(cosines: np.ndarray, own: np.ndarray) -> np.ndarray:
    """[texts, own]: cosines with a domain's examples, -inf where a text meets itself."""
    masked = cosines[:, own].copy()
    masked[np.flatnonzero(own), np.arange(int(own.sum()))] = -np.inf
    return masked
