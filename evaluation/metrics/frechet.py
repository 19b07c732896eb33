"""The Frechet distance of two sets of features: FID, where these are Inception's (Heusel et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gaussian:
    """What the distance sees of a set."""

    mean: np.ndarray  # [D]
    covariance: np.ndarray  # [D, D]

    @classmethod
    def of(cls, features: np.ndarray) -> Gaussian:
        """Of features [N, D]. Raises ValueError when there are fewer than two."""
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"a Gaussian needs features [N, D] of at least two pictures, not {list(features.shape)}")
        features = features.astype(np.float64)
        return cls(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Of two sets of features, [N, D] and [M, D]: 0 for equal Gaussians.

    Biased upwards where N or M is small (Chong & Forsyth 2020), so compare only sets of the same sizes.
    """
    return gaussian_distance(Gaussian.of(first), Gaussian.of(second))


def gaussian_distance(first: Gaussian, second: Gaussian) -> float:
    """Squared 2-Wasserstein distance: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson & Landau 1982).

    The last trace is that of (S C2 S)^(1/2) with S = C1^(1/2): symmetric, so its eigenvalues are real, also where sets
    have fewer pictures than dimensions and scipy's sqrtm of C1 C2 becomes complex.
    """
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second.covariance @ root).clip(min=0)).sum()
    spread = np.trace(first.covariance) + np.trace(second.covariance) - 2 * shared
    return float(max(0.0, np.square(first.mean - second.mean).sum() + spread))
