"""The Frechet distance against its closed forms and against scipy's matrix square root."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from evaluation.metrics.frechet import Gaussian, frechet_distance, gaussian_distance


def _covariance(rng: np.random.Generator, size: int) -> np.ndarray:
    factor = rng.normal(size=(size, size))
    return np.asarray(factor @ factor.T)


def _samples_of(gaussian: Gaussian, number: int, rng: np.random.Generator) -> np.ndarray:
    """Features whose mean and covariance are exactly those."""
    white = rng.normal(size=(number, len(gaussian.mean)))
    white -= white.mean(axis=0)
    white @= np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    return np.asarray(gaussian.mean + white @ np.linalg.cholesky(gaussian.covariance).T)


@pytest.mark.parametrize(("shift", "deviation"), [(0.0, 1.0), (3.0, 1.0), (0.0, 2.0), (1.5, 0.25)])
def test_two_round_gaussians(shift: float, deviation: float) -> None:
    """|m|^2 + D (1 - s)^2 for N(0, I) and N(m, s^2 I)."""
    rng, size = np.random.default_rng(0), 4
    first = Gaussian(np.zeros(size), np.eye(size))
    second = Gaussian(np.full(size, shift), deviation**2 * np.eye(size))
    expected = size * shift**2 + size * (1 - deviation) ** 2
    assert gaussian_distance(first, second) == pytest.approx(expected)
    assert frechet_distance(_samples_of(first, 50, rng), _samples_of(second, 70, rng)) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_any_two_gaussians(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = Gaussian(rng.normal(size=6), _covariance(rng, 6))
    second = Gaussian(rng.normal(size=6), _covariance(rng, 6))
    product = sqrtm(first.covariance @ second.covariance)
    expected = np.square(first.mean - second.mean).sum()
    expected += np.trace(first.covariance + second.covariance - 2 * product.real)
    assert gaussian_distance(first, second) == pytest.approx(expected)
    assert gaussian_distance(second, first) == pytest.approx(expected)


def test_a_set_is_no_distance_from_itself_also_with_more_dimensions_than_pictures() -> None:
    features = np.random.default_rng(1).normal(size=(10, 64))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features, features + 1.0) == pytest.approx(64)


@pytest.mark.parametrize("shape", [(1, 4), (0, 4), (5,)])
def test_less_than_two_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two pictures"):
        Gaussian.of(np.zeros(shape))
