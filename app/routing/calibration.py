"""Probabilities that mean what they say: fitted on texts that a source has not seen.

Temperature scaling is Guo et al. 2017, sigmoid scaling of a score is Platt 1999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TEMPERATURES = (0.05, 20.0)
_GOLDEN = (5**0.5 - 1) / 2
_RIDGE = 1e-3


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def log_sum_exp(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    top = scores.max(axis=-1)
    return np.asarray(top + np.log(np.exp(scores - top[..., None]).sum(axis=-1)))


def balanced(labels: np.ndarray) -> np.ndarray:
    """[N] weights of mean 1 under which every label that occurs weighs the same."""
    _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(len(labels) / (len(counts) * counts[which]))


def fit_temperature(log_likelihoods: np.ndarray, labels: np.ndarray) -> float:
    """The T that minimises the mean negative log-likelihood of softmax(log_likelihoods [N, C] / T).

    Labels weigh the same however many texts they have. As Platt's targets, each text is held to be of its label with
    (N + 1) / (N + 2) only: N texts read without an error do not make the next one certain. 1 where there is nothing to
    choose from.
    """
    number, choices = log_likelihoods.shape
    if not number or choices < 2:
        return 1.0
    targets = np.full((number, choices), 1 / ((number + 2) * (choices - 1)))
    targets[np.arange(number), labels] = (number + 1) / (number + 2)
    targets *= balanced(labels)[:, None]

    def loss(log_temperature: float) -> float:
        return -float((targets * log_softmax(log_likelihoods / np.exp(log_temperature))).sum())

    low, high = np.log(_TEMPERATURES)  # convex in 1 / T, so of one minimum: golden section search
    while high - low > 1e-3:
        span = _GOLDEN * (high - low)
        if loss(high - span) < loss(low + span):
            high = low + span
        else:
            low = high - span
    return float(np.exp((low + high) / 2))


@dataclass(frozen=True)
class Sigmoid:
    """The probability 1 / (1 + exp(-(slope score + offset)))."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, score: float) -> float:
        return float(1.0 / (1.0 + np.exp(-np.clip(self.slope * score + self.offset, -50.0, 50.0))))

    @classmethod
    def fit(cls, scores: np.ndarray, is_positive: np.ndarray) -> Sigmoid:
        """By Newton's method on Platt's smoothed targets; both classes weigh the same. Scores [N], is_positive [N]."""
        positives = int(is_positive.sum())
        negatives = len(is_positive) - positives
        if not positives or not negatives:
            return cls()
        targets = np.where(is_positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        inputs = np.stack([scores, np.ones(len(scores))], axis=1)
        weights, found, prior = balanced(is_positive), np.array([1.0, 0.0]), np.array([1.0, 0.0])
        for _ in range(50):
            read = 1.0 / (1.0 + np.exp(-np.clip(inputs @ found, -50.0, 50.0)))
            slope = inputs.T @ (weights * (read - targets)) + _RIDGE * (found - prior)
            curvature = (inputs.T * (weights * read * (1 - read))) @ inputs + _RIDGE * np.eye(2)
            step = np.linalg.solve(curvature, slope)
            found = found - step * min(1.0, 2.0 / (np.abs(step).max() + 1e-12))
            if np.abs(step).max() < 1e-6:
                break
        return cls(float(found[0]), float(found[1]))
