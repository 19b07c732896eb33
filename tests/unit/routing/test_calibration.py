"""Probabilities that mean what they say, on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from app.routing.calibration import Sigmoid, balanced, fit_temperature, log_softmax, log_sum_exp
from app.routing.choice import ConditionalLogit


def drawn(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A label for each row of scores [N, C], with the probabilities of its softmax."""
    return np.array([rng.choice(scores.shape[1], p=row) for row in np.exp(log_softmax(scores))])


def test_log_softmax_sums_to_one_even_far_out() -> None:
    read = log_softmax(np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]]))
    assert np.exp(read).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert log_sum_exp(np.array([1e4, 1e4])) == pytest.approx(1e4 + np.log(2))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5000, 4)) * 2
    labels = drawn(scores, rng)
    assert fit_temperature(scores * temperature, labels) == pytest.approx(temperature, rel=0.08)


def test_texts_without_an_error_do_not_make_the_next_one_certain() -> None:
    scores = 50.0 * np.eye(3)[np.arange(30) % 3]
    temperature = fit_temperature(scores, np.arange(30) % 3)
    confidence = float(np.exp(log_softmax(scores / temperature)).max(axis=1).mean())
    assert confidence == pytest.approx(31 / 32, abs=0.005)


def test_nothing_to_learn_from_is_temperature_one() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0
    assert fit_temperature(np.zeros((5, 1)), np.zeros(5, dtype=int)) == 1.0


def test_labels_weigh_the_same_however_many_texts_they_have() -> None:
    weights = balanced(np.array([0, 0, 0, 2]))
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights.mean() == pytest.approx(1.0)


def test_a_sigmoid_finds_where_two_classes_part() -> None:
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(-1, 1, 4000), rng.normal(3, 1, 2000)])  # log-odds: 4 (score - 1)
    found = Sigmoid.fit(scores, np.arange(6000) >= 4000)
    assert found(1.0) == pytest.approx(0.5, abs=0.1)
    assert found.slope == pytest.approx(4.0, rel=0.25)
    assert found(-1e9) < 1e-6 and found(1e9) > 1 - 1e-6


def test_a_sigmoid_of_one_class_leaves_log_odds_as_they_are() -> None:
    assert Sigmoid.fit(np.array([1.0, 2.0]), np.array([True, True])) == Sigmoid()


def test_a_conditional_logit_finds_slope_and_offsets() -> None:
    rng = np.random.default_rng(2)
    scores = rng.uniform(-1, 1, size=(8000, 2))
    truth = ConditionalLogit(3.0, np.array([0.5, -0.5, 0.0]))
    labels = drawn(truth(scores), rng)
    found = ConditionalLogit.fit(scores, labels)
    ours, theirs = np.exp(found(scores)), np.exp(truth(scores))
    prior = np.bincount(labels) / len(labels)  # labels weigh the same: their shares are taken out again
    assert np.abs(ours * prior / (ours * prior).sum(axis=1, keepdims=True) - theirs).max() < 0.05
    assert found.slope == pytest.approx(3.0, rel=0.1)


def test_a_higher_score_is_a_likelier_domain_even_without_examples() -> None:
    untaught = ConditionalLogit.fit(np.zeros((0, 2)), np.zeros(0, dtype=int))
    assert int(untaught(np.array([0.9, 0.2])).argmax()) == 0
    assert int(untaught(np.array([0.0, 0.0])).argmax()) == 2
