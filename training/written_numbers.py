"""What a picture of handwriting is: one to three digits, in an ink, on a paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.scenes import Rgb

DIGITS = "0123456789"
MOST_DIGITS = 3
INKS: dict[str, Rgb] = {
    "black": (30, 28, 34),
    "blue": (34, 72, 190),
    "red": (206, 38, 44),
    "green": (22, 128, 68),
    "purple": (126, 50, 176),
}
CHALKS: dict[str, Rgb] = {"white": (240, 240, 234), "yellow": (248, 218, 92)}
PAPERS: dict[str, Rgb] = {
    "white": (250, 250, 250),
    "cream": (250, 238, 210),
    "grey": (206, 208, 212),
    "pink": (252, 216, 226),
}
BOARDS: dict[str, Rgb] = {"blackboard": (36, 48, 44), "navy": (18, 26, 82)}
_CHALK_SHARE = 0.3


@dataclass(frozen=True)
class NumberSpec:
    """Digits side by side. An ink goes on a paper, a chalk (white, yellow) on a board (blackboard, navy)."""

    digits: str
    ink: str
    paper: str

    @property
    def is_chalk(self) -> bool:
        return self.ink in CHALKS


def random_number(rng: np.random.Generator) -> NumberSpec:
    """One digit, two or three, all as often."""
    digits = "".join(DIGITS[i] for i in rng.integers(len(DIGITS), size=int(rng.integers(1, MOST_DIGITS + 1))))
    inks, papers = (CHALKS, BOARDS) if rng.random() < _CHALK_SHARE else (INKS, PAPERS)
    return NumberSpec(digits, str(rng.choice(list(inks))), str(rng.choice(list(papers))))
