"""Words as rules compare them: without case and inflection, and forgiving one typing error in a long word.

Inflection: plurals as Harman's S stemmer (1991) takes them off, and `-ing`, `-ed` and a last `-e` where five letters
remain (step 1 of Porter 1980, kept to long words: `staring` is no `star`). Typing errors: one letter too many, too few
or another, or two neighbours exchanged (Damerau 1964), in words of six letters or more. Candidates are found by leaving
out one letter of both words (Garbe's symmetric delete), so that a look-up costs no more than the word is long.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

MISSPELT = 0.8  # of the degree, for each word that is spelt otherwise
_TOKEN = re.compile(r"(?:--)?[^\W_]+(?:['\u2019][^\W_]+)?")  # `--ar` is one word, `long_hair` two
_LONG, _STEM = 6, 5  # letters: of a word that may be misspelt, and that remain of one without its ending


@dataclass(frozen=True)
class Token:
    """One word of a prompt."""

    stem: str
    may_be_misspelt: bool


def tokens(text: str) -> tuple[Token, ...]:
    return tuple(Token(stem(word), len(word) >= _LONG) for word in _TOKEN.findall(text.lower()))


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Of one word in lower case."""
    word = re.sub(r"['\u2019]s?$", "", word)
    if len(word) > 3 and word.endswith("s"):
        word = _singular(word)
    if word.endswith("ing") and len(word) >= _STEM + 3:
        word = word[:-3]
    elif word.endswith("ed") and len(word) >= _STEM + 2:
        word = word[:-2]
    return word[:-1] if word.endswith("e") and len(word) > _STEM else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses", "zzes")):
        return word[:-2]
    return word if word.endswith(("ss", "us", "is")) else word[:-1]


class PhraseIndex:
    """Finds many phrases in a text at once. Phrases are known by their place in the order they were given in."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._starting: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
        self._without_letter: dict[str, set[str]] = defaultdict(set)
        self._stems: set[str] = set()
        for number, phrase in enumerate(phrases):
            words = tokens(phrase)
            if not words:
                continue
            self._starting[words[0].stem].append((number, tuple(word.stem for word in words)))
            self._stems.update(word.stem for word in words)
            for word in words:
                if word.may_be_misspelt:
                    for part in _shortened(word.stem):
                        self._without_letter[part].add(word.stem)

    def find(self, words: Sequence[Token]) -> dict[int, float]:
        """The phrases in the text, each with 1, or less where words of it are misspelt."""
        read = [self._read(word) for word in words]
        found: dict[int, float] = {}
        for start, readings in enumerate(read):
            for first in readings:
                for number, stems in self._starting.get(first, ()):
                    rest = read[start : start + len(stems)]
                    if len(rest) == len(stems) and all(a in b for a, b in zip(stems, rest, strict=True)):
                        degree = 1.0
                        for wanted, options in zip(stems, rest, strict=True):
                            degree *= options[wanted]
                        found[number] = max(degree, found.get(number, 0.0))
        return found

    def _read(self, word: Token) -> dict[str, float]:
        """The words of phrases that this may be, with the share that is left of their degree."""
        if word.stem in self._stems:
            return {word.stem: 1.0}
        if not word.may_be_misspelt:
            return {}
        near = {known for part in _shortened(word.stem) for known in self._without_letter.get(part, ())}
        return {known: MISSPELT for known in near if is_one_error(word.stem, known)}


def is_one_error(first: str, second: str) -> bool:
    """Whether at most one letter is missing, added, another, or exchanged with its neighbour."""
    short, long = sorted((first, second), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    exchanged = short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or exchanged


def _shortened(word: str) -> set[str]:
    """The word, and what is left of it without any one letter."""
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}
