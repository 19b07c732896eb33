"""The log-linear pool and its calibration, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from app.routing.pool import MOST_REJECTED, Calibration, outside_score, pool, told

FIRST, SECOND = np.log([0.6, 0.3, 0.1]), np.log([0.2, 0.7, 0.1])


def test_what_a_source_tells_is_a_share_of_what_there_is_to_know() -> None:
    labels = np.array([0, 0, 0, 1])
    knows = np.log([[1.0, 1e-12]] * 3 + [[1e-12, 1.0]])
    half = np.log([[0.5, 0.5]] * 4)
    leans = np.log([[0.9, 0.1]] * 4)  # right three times of four, but labels weigh the same
    misleads = knows[::-1]
    assert told(knows, labels) == pytest.approx(1.0)
    assert told(half, labels) == told(leans, labels) == told(misleads, labels) == 0.01


def test_equal_weights_are_the_geometric_mean() -> None:
    expected = np.sqrt([0.6 * 0.2, 0.3 * 0.7, 0.1 * 0.1])
    pooled = np.exp(pool({"a": FIRST, "b": SECOND}, {"a": 1.0, "b": 1.0}))
    assert pooled == pytest.approx(expected / expected.sum())


def test_a_source_without_weight_says_nothing_and_one_that_is_missing_is_left_out() -> None:
    assert np.exp(pool({"a": FIRST, "b": SECOND}, {"a": 2.0, "b": 0.0})) == pytest.approx([0.6, 0.3, 0.1])
    assert np.exp(pool({"a": FIRST}, {"a": 0.3, "b": 5.0})) == pytest.approx([0.6, 0.3, 0.1])


def test_a_heavier_source_counts_more() -> None:
    light, heavy = (pool({"a": FIRST, "b": SECOND}, {"a": 1.0, "b": weight}) for weight in (1.0, 4.0))
    assert heavy[1] > light[1]


def test_a_pool_needs_a_source_of_weight() -> None:
    with pytest.raises(ValueError, match="weight"):
        pool({"a": FIRST}, {"b": 1.0})


def test_out_of_domain_is_scored_against_all_domains_together() -> None:
    assert outside_score(np.log([0.3, 0.2, 0.5])) == pytest.approx(0.0)
    assert outside_score(np.log([0.05, 0.05, 0.9])) == pytest.approx(np.log(9))


def examples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Opinions that overlap: right four times of five, whatever confidence they have. [600, 3] and labels."""
    labels = np.arange(600) % 3
    scores = rng.normal(size=(600, 3))
    told = np.where(rng.random(600) < 0.8, labels, (labels + 1) % 3)
    scores[np.arange(600), told] += 6
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), labels


def test_at_most_one_in_twenty_of_the_domains_own_is_rejected() -> None:
    pooled, labels = examples(np.random.default_rng(0))
    calibration = Calibration.fit(pooled, labels)
    own = pooled[labels < 2]
    rejected = np.mean([calibration.out_of_domain(one) > calibration.threshold for one in own])
    assert rejected <= MOST_REJECTED
    assert calibration.threshold >= 0.5


def test_confidence_is_accuracy_after_calibration() -> None:
    pooled, labels = examples(np.random.default_rng(1))
    own = labels < 2
    before = np.exp(pooled[own, :2]) / np.exp(pooled[own, :2]).sum(axis=1, keepdims=True)
    after = Calibration.fit(pooled, labels).probabilities(pooled[own])
    accuracy = (after.argmax(axis=1) == labels[own]).mean()
    assert abs(after.max(axis=1).mean() - accuracy) < 0.05 < abs(before.max(axis=1).mean() - accuracy)


def test_what_has_seen_its_texts_is_not_sharpened() -> None:
    labels = np.arange(60) % 2
    pooled = np.log(np.where(np.eye(3)[labels] > 0, 0.6, 0.2))  # always right, and modest
    assert Calibration.fit(pooled, labels).temperature < 1
    assert Calibration.fit(pooled, labels, may_sharpen=False).temperature == 1
