"""Handwritten numbers to words: many phrasings of one picture, some of them leaving things unsaid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.written_numbers import NumberSpec

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_OPENINGS = ("", "", "", "", "", "a picture of ", "an image of ", "a photo of ")
_ENDINGS = ("",) * 8 + (", handwritten", ", handwriting", ", by hand", ", neat")
_INK_UNSAID, _PAPER_UNSAID = 0.06, 0.1  # shares of captions


@dataclass(frozen=True)
class NumberCaption:
    """A phrase that names the digits, and whether it names ink and paper."""

    text: str
    names_ink: bool
    names_paper: bool


def full_number_caption(spec: NumberSpec, rng: np.random.Generator) -> NumberCaption:
    """A caption that names everything."""
    return _caption(spec, rng, names_ink=True, names_paper=True)


def random_number_caption(spec: NumberSpec, rng: np.random.Generator) -> NumberCaption:
    """A caption that now and then leaves out the ink or the paper."""
    ink, paper = rng.random(2) >= (_INK_UNSAID, _PAPER_UNSAID)
    return _caption(spec, rng, names_ink=bool(ink), names_paper=bool(paper))


def _caption(spec: NumberSpec, rng: np.random.Generator, names_ink: bool, names_paper: bool) -> NumberCaption:
    number = _pick(rng, _phrases(spec.digits))
    ink = _ink(spec, rng) if names_ink else ""
    paper = _paper(spec, rng) if names_paper else ""
    parts = (number, paper + ",", ink) if ink and paper and rng.random() < 0.15 else (number, ink, paper)
    text = _pick(rng, _OPENINGS) + " ".join(part for part in parts if part) + _pick(rng, _ENDINGS)
    if rng.random() < 0.1:
        text = text[0].upper() + text[1:] + "."
    return NumberCaption(text, names_ink, names_paper)


def _phrases(digits: str) -> tuple[str, ...]:
    names = [NAMES[int(digit)] for digit in digits]
    spoken, spaced = " ".join(names), " ".join(digits)
    both = (digits, f"a handwritten {digits}", f"the number {digits}", f"the handwritten number {digits}")
    if len(digits) == 1:
        article = "an" if names[0][0] in "aeiou" else "a"
        alone = (f"a handwritten {spoken}", f"a handwritten {spoken}", f"{article} {spoken}", spoken)
        return *both, *alone, f"the digit {digits}", f"the digit {spoken}", f"the number {spoken}"
    row = (f"the number {spaced}", spoken, f"a handwritten {spoken}", f"the digits {_listed(names)}")
    word = _word(digits)
    words = (word, f"the number {word}", f"a handwritten {word}") if word else ()
    return *both, *row, f"the digits {_listed(list(digits))}", *words


def _listed(items: list[str]) -> str:
    return ", ".join(items[:-1]) + " and " + items[-1]


def _word(digits: str) -> str:
    """ "47" as "forty-seven"; empty for other than 10 to 99."""
    if len(digits) != 2 or digits[0] == "0":
        return ""
    tens, ones = int(digits[0]), int(digits[1])
    if tens == 1:
        return _TEENS[ones]
    return _TENS[tens - 2] + (f"-{NAMES[ones]}" if ones else "")


def _ink(spec: NumberSpec, rng: np.random.Generator) -> str:
    colour = spec.ink
    if not spec.is_chalk:
        return _pick(rng, (f"in {colour} ink", f"in {colour} ink", f"written in {colour} ink", f"in {colour}"))
    chalk = (f"in {colour} chalk", f"in {colour} chalk", f"written in {colour} chalk", f"in {colour}")
    return _pick(rng, (*chalk, "in chalk", "written in chalk") if colour == "white" else chalk)


def _paper(spec: NumberSpec, rng: np.random.Generator) -> str:
    name = spec.paper
    if name == "blackboard":
        return _pick(rng, ("on a blackboard", "on a blackboard", "on the blackboard", "on blackboard"))
    if spec.is_chalk:
        return _pick(rng, (f"on a {name} board", f"on a {name} background", f"on {name}"))
    sheet = (f"on {name} paper", f"on {name} paper", f"on a sheet of {name} paper")
    name = "gray" if name == "grey" and rng.random() < 0.3 else name
    return _pick(rng, (*sheet, f"on a {name} background", f"on {name}"))


def _pick(rng: np.random.Generator, phrases: tuple[str, ...]) -> str:
    return phrases[int(rng.integers(len(phrases)))]
