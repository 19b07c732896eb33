from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.diversity import vendi_score


def test_copies_are_one_picture() -> None:
    assert vendi_score(np.tile([[3.0, 4.0]], (7, 1))) == pytest.approx(1)


def test_pictures_at_right_angles_are_all_different() -> None:
    assert vendi_score(np.eye(5) * 9) == pytest.approx(5)


def test_two_kinds_in_equal_parts_are_two_however_many_there_are() -> None:
    assert vendi_score(np.repeat(np.eye(2), 50, axis=0)) == pytest.approx(2)


def test_a_rare_kind_counts_less_than_a_whole_one() -> None:
    """The exponential of the entropy of (0.9, 0.1)."""
    features = np.repeat(np.eye(2), [90, 10], axis=0)
    assert vendi_score(features) == pytest.approx(np.exp(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1))))


def test_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        vendi_score(np.zeros((0, 3)))
