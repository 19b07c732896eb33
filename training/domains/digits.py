"""Handwritten numbers of one to three digits, in ink on paper or in chalk on a board."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.domains.domain import Reading, Roles
from training.handwriting import write
from training.number_captions import random_number_caption
from training.written_numbers import BOARDS, CHALKS, DIGITS, INKS, MOST_DIGITS, PAPERS, NumberSpec, random_number

_UNSAID, _ABSENT = "unsaid", "absent"
_LATER_DIGIT = ((*DIGITS, _ABSENT),)
_PAGE = ((*INKS, *CHALKS, _UNSAID), (*PAPERS, *BOARDS, _UNSAID), ("1", "2", "3"))


@dataclass(frozen=True)
class DigitsDomain:
    """Written by the hands that training may see, or by those held out."""

    held_out: bool = False
    name: str = "digits"
    roles: Roles = ((tuple(DIGITS),), _LATER_DIGIT, _LATER_DIGIT, _PAGE)

    def random_spec(self, rng: np.random.Generator) -> NumberSpec:
        return random_number(rng)

    def image(self, spec: NumberSpec, rng: np.random.Generator) -> np.ndarray:
        return write(spec, rng, self.held_out)

    def caption(self, spec: NumberSpec, rng: np.random.Generator) -> str:
        return random_number_caption(spec, rng).text

    def facts(self, spec: NumberSpec) -> dict[str, str]:
        alone = {"digit": spec.digits} if len(spec.digits) == 1 else {}
        return {"digits": spec.digits, "length": str(len(spec.digits)), "ink": spec.ink, "paper": spec.paper} | alone

    def read(self, spec: NumberSpec, rng: np.random.Generator) -> Reading:
        caption = random_number_caption(spec, rng)
        digits = (*spec.digits, *(_ABSENT,) * (MOST_DIGITS - len(spec.digits)))
        ink = spec.ink if caption.names_ink else _UNSAID
        paper = spec.paper if caption.names_paper else _UNSAID
        return Reading(caption.text, (*digits, ink, paper, str(len(spec.digits))))
