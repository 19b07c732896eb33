"""Hard negatives: a caption with one thing in it told wrongly (NegCLIP, Yuksekgonul et al. 2023).

Either one word gives way to another value of its attribute, or two values of one attribute change places, so that every
word is still of the scene and only the binding is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.captions import BACKGROUND_WORDS, COUNT_WORDS, SHAPE_WORDS, SIZE_WORDS

Words = Mapping[str, Sequence[str]]  # the values of one attribute, each with the words that say it

RELATION_WORDS: Words = {
    "left of": ("to the left of", "on the left of", "left of"),
    "right of": ("to the right of", "on the right of", "right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}
_NUMBER_WORDS: Words = {str(count): words for count, words in COUNT_WORDS.items()}
_KNOWN: tuple[Words, ...] = (SHAPE_WORDS, SIZE_WORDS, BACKGROUND_WORDS, _NUMBER_WORDS, RELATION_WORDS)
_SWAP_SHARE = 0.5  # of the captions in which two values may change places


@dataclass(frozen=True)
class _Found:
    """One word of a caption that says a value."""

    start: int
    end: int
    value: str
    is_plural: bool


class Contradictions:
    """Makes captions false. `attributes` are values that have no words but themselves, by attribute."""

    def __init__(self, attributes: Iterable[Sequence[str]] = ()) -> None:
        spoken = {value for group in _KNOWN for value in group}
        others = [{value: (value,) for value in values} for values in attributes if not spoken & set(values)]
        self._groups: tuple[Words, ...] = (*_KNOWN, *others)
        self._patterns = [_pattern(group) for group in self._groups]

    def contradict(self, caption: str, rng: np.random.Generator) -> str | None:
        """The caption with one thing told wrongly; None where no word of it has an alternative."""
        found = [(group, self._find(index, caption)) for index, group in enumerate(self._groups)]
        present = [(group, words) for group, words in found if words]
        if not present:
            return None
        swaps = [(group, words) for group, words in present if len({word.value for word in words}) == 2 == len(words)]
        if swaps and rng.random() < _SWAP_SHARE:
            group, (first, second) = swaps[int(rng.integers(len(swaps)))]
            told = _put(caption, second, _say(group, first.value, second.is_plural, rng))
            return _with_articles(_put(told, first, _say(group, second.value, first.is_plural, rng)))
        group, words = present[int(rng.integers(len(present)))]
        word = words[int(rng.integers(len(words)))]
        others = [value for value in group if value != word.value]
        value = others[int(rng.integers(len(others)))]
        return _with_articles(_put(caption, word, _say(group, value, word.is_plural, rng)))

    def _find(self, index: int, caption: str) -> list[_Found]:
        values = {word: value for value, words in self._groups[index].items() for word in words}
        return [
            _Found(*match.span(), values[match["word"].lower()], bool(match["plural"]))
            for match in self._patterns[index].finditer(caption)
        ]


def _pattern(group: Words) -> re.Pattern[str]:
    """Any word of the group, the longest first, alone or in the plural."""
    words = sorted({word for words in group.values() for word in words}, key=len, reverse=True)
    return re.compile(rf"\b(?P<word>{'|'.join(map(re.escape, words))})(?P<plural>e?s)?\b", re.IGNORECASE)


def _say(group: Words, value: str, is_plural: bool, rng: np.random.Generator) -> str:
    words = group[value]
    word = words[int(rng.integers(len(words)))]
    if not is_plural:
        return word
    return word + ("es" if word.endswith(("s", "x")) else "s")


def _put(caption: str, place: _Found, word: str) -> str:
    return caption[: place.start] + word + caption[place.end :]


def _with_articles(caption: str) -> str:
    """`a` before consonants, `an` before vowels, so that the grammar does not tell what was changed."""
    caption = re.sub(r"\b([Aa])n (?=[^aeiouAEIOU\W])", r"\1 ", caption)
    return re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", caption)
