"""The numbers that evaluation asks for: one digit, two, three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from evaluation.subjects.subject import SEED, Kind
from training.written_numbers import DIGITS, MOST_DIGITS, NumberSpec, random_number

_NUMBERS = 128  # of each length


def _of_length(length: int) -> Iterator[tuple[NumberSpec, np.random.Generator]]:
    rng = np.random.default_rng((SEED, 100 + length))
    for _ in range(_NUMBERS):
        digits = "".join(DIGITS[index] for index in rng.integers(len(DIGITS), size=length))
        yield replace(random_number(rng), digits=digits), rng


NUMBER_KINDS: dict[str, Kind] = {
    f"{length} digit{'s' if length > 1 else ''}": partial(_of_length, length) for length in range(1, MOST_DIGITS + 1)
}
