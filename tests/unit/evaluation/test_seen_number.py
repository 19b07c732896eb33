"""Handwriting as the oracle reads it: what was written, by hands that it has never seen, is what is read."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.judges.number import judge_number
from evaluation.judges.seen_number import read_number
from training.handwriting import write
from training.written_numbers import NumberSpec, random_number

ASKED = NumberSpec("4", "blue", "cream")


def test_most_written_numbers_are_read_right() -> None:
    rng = np.random.default_rng(8)
    specs = [random_number(rng) for _ in range(120)]
    verdicts = [judge_number(spec, write(spec, rng, held_out=True)) for spec in specs]
    assert np.mean([verdict.ink and verdict.paper for verdict in verdicts]) >= 0.97
    assert np.mean([verdict.digits for verdict in verdicts]) >= 0.83


@pytest.mark.parametrize(
    ("written", "part"),
    [
        (NumberSpec("0", "blue", "cream"), "digits"),
        (NumberSpec("44", "blue", "cream"), "digits"),
        (NumberSpec("4", "red", "cream"), "ink"),
        (NumberSpec("4", "blue", "white"), "paper"),
    ],
)
def test_what_is_written_otherwise_is_wrong(written: NumberSpec, part: str) -> None:
    verdict = judge_number(ASKED, write(written, np.random.default_rng(0)))
    assert verdict.parts[part] is False
    assert not verdict.all_right


def test_an_empty_sheet_has_no_digits() -> None:
    seen = read_number(np.full((128, 128, 3), 250, np.uint8))
    assert (seen.digits, seen.ink, seen.paper) == ("", None, "white")


def test_an_image_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        read_number(np.zeros((64, 64, 3), np.uint8))
