"""From one score a domain to probabilities: a conditional logit (McFadden 1974), out of domain one choice more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.routing.calibration import balanced, log_softmax

_SLOPE, _OUTSIDE = 4.0, 0.25  # where there is nothing to learn from: the score that counts as much as out of domain
_SLOPE_PRIOR, _OFFSET_PRIOR = 0.5, 0.5  # precisions of the Gaussians around them, in texts
_MOST_STEPS = 100


@dataclass(frozen=True)
class ConditionalLogit:
    """log p(domain) = slope score(domain) + offset(domain) - log Z; out of domain, the last, has score 0."""

    slope: float
    offsets: np.ndarray  # [domains + 1]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Log-likelihoods [..., domains + 1] of scores [..., domains]."""
        outside = np.zeros((*scores.shape[:-1], 1))
        return log_softmax(self.slope * np.concatenate([scores, outside], axis=-1) + self.offsets)

    @classmethod
    def fit(cls, scores: np.ndarray, labels: np.ndarray) -> ConditionalLogit:
        """Scores [N, domains], labels [N] (number of domains: out of domain). Newton's method; labels weigh the same.

        Offsets of domains without a label stay 0.
        """
        number = scores.shape[1] + 1
        start = np.zeros(number + 1)
        start[0], start[-1] = _SLOPE, _SLOPE * _OUTSIDE
        if not len(labels):
            return cls(start[0], start[1:])
        inputs = np.zeros((len(labels), number, number + 1))  # of each text, choice and parameter
        inputs[:, :-1, 0] = scores
        present = np.unique(labels)
        inputs[:, present, present + 1] = 1.0
        inputs[:, -1, -1] = 1.0
        precision = np.full(number + 1, _OFFSET_PRIOR)
        precision[0] = _SLOPE_PRIOR
        found, weights = start.copy(), balanced(labels)
        chosen = inputs[np.arange(len(labels)), labels]  # [N, parameters]
        for _ in range(_MOST_STEPS):
            shares = np.exp(log_softmax(inputs @ found))  # [N, choices]
            mean = np.einsum("nc,ncp->np", shares, inputs)
            slope = weights @ (mean - chosen) + precision * (found - start)
            spread = np.einsum("n,nc,ncp,ncq->pq", weights, shares, inputs, inputs, optimize=True)
            curvature = spread - (mean.T * weights) @ mean + np.diag(precision)
            step = np.linalg.solve(curvature, slope)
            found = found - step * min(1.0, 2.0 / (np.abs(step).max() + 1e-12))
            if np.abs(step).max() < 1e-6:
                break
        return cls(float(found[0]), found[1:])
