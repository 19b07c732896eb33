"""Several opinions as one: a log-linear pool (Genest & Zidek 1986), calibrated on texts the sources have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from app.routing.calibration import Sigmoid, balanced, fit_temperature, log_softmax, log_sum_exp

Source = TypeVar("Source", bound=str)
MOST_REJECTED = 0.05  # of a catalog's own examples
_LEAST_TOLD = 0.01


def pool(log_likelihoods: Mapping[Source, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """log p = sum_i w_i log p_i - log Z over the last axis; the weights of the sources that are there sum to 1.

    ValueError where none has a weight above 0.
    """
    total = sum(weights.get(name, 0.0) for name in log_likelihoods)
    if total <= 0:
        raise ValueError(f"none of {', '.join(log_likelihoods) or 'no sources'} has a weight above 0")
    shares = [weights.get(name, 0.0) / total * read for name, read in log_likelihoods.items()]
    return log_softmax(np.sum(shares, axis=0))


def told(log_likelihoods: np.ndarray, labels: np.ndarray) -> float:
    """How much of what there is to know a source tells, 0..1: 1 - cross entropy / log C, of log-likelihoods [N, C].

    Labels [N] weigh the same. One that says nothing, or misleads, still counts a hundredth.
    """
    if not len(labels):
        return 1.0
    right = log_likelihoods[np.arange(len(labels)), labels]
    cross_entropy = -float((balanced(labels) * right).mean())
    return max(_LEAST_TOLD, 1.0 - cross_entropy / float(np.log(log_likelihoods.shape[1])))


def outside_score(pooled: np.ndarray) -> np.ndarray:
    """Log-odds of out of domain, the last entry, against all domains together."""
    return np.asarray(pooled[..., -1] - log_sum_exp(pooled[..., :-1]))


@dataclass(frozen=True)
class Calibration:
    """What turns a pool's log-likelihoods into probabilities."""

    temperature: float = 1.0
    outside: Sigmoid = field(default_factory=Sigmoid)
    threshold: float = 0.5  # the probability of out of domain from which a prompt counts as such

    @classmethod
    def fit(cls, pooled: np.ndarray, labels: np.ndarray, may_sharpen: bool = True) -> Calibration:
        """On unseen texts: log-likelihoods [N, domains + 1], labels [N] (number of domains: out of domain).

        Where a source has seen the texts after all, `may_sharpen` is false, and the temperature at least 1. The
        threshold rejects at most one in twenty of the domains' own, and nothing below one half.
        """
        is_outside = labels == pooled.shape[1] - 1
        scores = outside_score(pooled)
        outside = Sigmoid.fit(scores, is_outside)
        inside = sorted(outside(score) for score in scores[~is_outside])
        threshold = 0.5
        if inside:
            threshold = max(threshold, float(np.nextafter(inside[-1 - int(MOST_REJECTED * len(inside))], 1.0)))
        temperature = fit_temperature(pooled[~is_outside, :-1], labels[~is_outside])
        return cls(temperature if may_sharpen else max(1.0, temperature), outside, threshold)

    def probabilities(self, pooled: np.ndarray) -> np.ndarray:
        """Of the domains [..., domains], given that it is one of them."""
        return np.asarray(np.exp(log_softmax(pooled[..., :-1] / self.temperature)))

    def out_of_domain(self, pooled: np.ndarray) -> float:
        return self.outside(float(outside_score(pooled)))
