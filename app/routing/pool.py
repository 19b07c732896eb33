"""Several opinions as one: a log-linear pool (Genest & Zidek 1986), calibrated on texts the sources have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from app.routing.calibration import Sigmoid, fit_temperature, log_softmax, log_sum_exp

Source = TypeVar("Source", bound=str)
MOST_REJECTED = 0.05  # of a catalog's own examples


def pool(log_likelihoods: Mapping[Source, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """log p = sum_i w_i log p_i - log Z over the last axis; the weights of the sources that are there sum to 1.

    ValueError where none has a weight above 0.
    """
    total = sum(weights.get(name, 0.0) for name in log_likelihoods)
    if total <= 0:
        raise ValueError(f"none of {', '.join(log_likelihoods) or 'no sources'} has a weight above 0")
    shares = [weights.get(name, 0.0) / total * read for name, read in log_likelihoods.items()]
    return log_softmax(np.sum(shares, axis=0))


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
    def fit(cls, pooled: np.ndarray, labels: np.ndarray) -> Calibration:
        """On unseen texts: log-likelihoods [N, domains + 1], labels [N] (number of domains: out of domain).

        The threshold rejects at most one in twenty of the domains' own, and nothing below one half.
        """
        is_outside = labels == pooled.shape[1] - 1
        scores = outside_score(pooled)
        outside = Sigmoid.fit(scores, is_outside)
        inside = sorted(outside(score) for score in scores[~is_outside])
        threshold = 0.5
        if inside:
            threshold = max(threshold, float(np.nextafter(inside[-1 - int(MOST_REJECTED * len(inside))], 1.0)))
        temperature = fit_temperature(pooled[~is_outside, :-1], labels[~is_outside])
        return cls(temperature, outside, threshold)

    def probabilities(self, pooled: np.ndarray) -> np.ndarray:
        """Of the domains [..., domains], given that it is one of them."""
        return np.asarray(np.exp(log_softmax(pooled[..., :-1] / self.temperature)))

    def out_of_domain(self, pooled: np.ndarray) -> float:
        return self.outside(float(outside_score(pooled)))
