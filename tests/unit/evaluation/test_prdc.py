"""Precision, recall, density and coverage of sets of which they are known."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from evaluation.metrics.prdc import prdc

_RNG = np.random.default_rng(0)
_LEFT, _RIGHT = _RNG.normal(size=(60, 3)), _RNG.normal(size=(60, 3)) + 100.0


def test_a_set_and_itself() -> None:
    found = prdc(_LEFT, _LEFT, neighbours=5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(6 / 5)  # a ball holds its own picture and the five nearest


def test_sets_that_are_far_apart() -> None:
    assert astuple(prdc(_LEFT, _RIGHT)) == (0, 0, 0, 0)


def test_one_of_two_modes_is_precise_but_misses_the_other() -> None:
    found = prdc(np.concatenate([_LEFT, _RIGHT]), _LEFT)
    assert (found.precision, found.recall, found.coverage) == (1, 0.5, 0.5)


def test_a_mode_too_many_is_complete_but_half_wrong() -> None:
    found = prdc(_LEFT, np.concatenate([_LEFT, _RIGHT]))
    assert (found.precision, found.recall, found.coverage) == (0.5, 1, 1)


def test_one_outlier_makes_recall_but_no_coverage() -> None:
    """Naeem et al. 2020, section 3: pictures that are all alike but for far outliers have a huge manifold."""
    generated = np.concatenate([np.zeros((20, 3)) + 50, np.array([[0.0, 0, 0], [100.0, 100, 100]] * 3)])
    found = prdc(np.concatenate([_LEFT, _RIGHT]), generated, neighbours=5)
    assert found.recall == 1
    assert found.coverage < 0.2


def test_neighbours_are_counted_on_a_line() -> None:
    reference, generated = np.arange(4.0)[:, None], np.array([[0.5], [10.0]])
    found = prdc(reference, generated, neighbours=1)  # balls of radius 1 around 0, 1, 2, 3; of 9.5 around the others
    assert found.precision == 0.5
    assert found.density == 1.0  # 0.5 lies in two balls, 10 in none
    assert found.coverage == 0.5
    assert found.recall == 1.0


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 5 pictures"):
        prdc(_LEFT, _RIGHT[:5])
