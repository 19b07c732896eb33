"""Whether a picture of handwriting shows the number that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from evaluation.judges.seen_number import read_number
from training.written_numbers import NumberSpec


@dataclass(frozen=True)
class NumberVerdict:
    digits: bool  # all of them, in their order
    ink: bool
    paper: bool

    @property
    def parts(self) -> Mapping[str, bool | None]:
        return asdict(self)

    @property
    def all_right(self) -> bool:
        return self.digits and self.ink and self.paper


def judge_number(spec: NumberSpec, image: np.ndarray) -> NumberVerdict:
    """Compare with an image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3]. Raises ValueError when the array is something else."""
    seen = read_number(image)
    return NumberVerdict(seen.digits == spec.digits, seen.ink == spec.ink, seen.paper == spec.paper)
