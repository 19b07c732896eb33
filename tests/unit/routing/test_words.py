"""Words are the same whatever their ending, and with one typing error where they are long."""

from __future__ import annotations

import pytest

from app.routing.words import MISSPELT, PhraseIndex, is_one_error, stem, tokens

PHRASES = ("circle", "star", "box", "berry", "sketch", "studio ghibli", "--ar", "long hair", "drawing", "glass")


def found(text: str) -> dict[str, float]:
    return {PHRASES[number]: share for number, share in PhraseIndex(PHRASES).find(tokens(text)).items()}


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("two CIRCLES", {"circle": 1.0}),
        ("encircled", {}),
        ("boxes of berries", {"box": 1.0, "berry": 1.0}),
        ("she is staring at the stars", {"star": 1.0}),
        ("staring", {}),
        ("sketched, sketching, sketches", {"sketch": 1.0}),
        ("a drawing and other drawings", {"drawing": 1.0}),
        ("glasses", {"glass": 1.0}),
        ("the circle's edge", {"circle": 1.0}),
        ("Studio-Ghibli", {"studio ghibli": 1.0}),
        ("a ghibli studio", {}),
        ("a castle --ar 16:9", {"--ar": 1.0}),
        ("ar", {}),
        ("long_hair", {"long hair": 1.0}),
        ("", {}),
        ("?!, --", {}),
    ],
)
def test_whole_words_are_found_in_any_inflection(text: str, phrases: dict[str, float]) -> None:
    assert found(text) == phrases


@pytest.mark.parametrize("text", ["cirlce", "circel", "cirle", "circcle", "cirxle", "skecth", "sketh", "stuido ghibli"])
def test_a_long_word_may_be_misspelt_once_and_counts_less(text: str) -> None:
    assert list(found(text).values()) == [MISSPELT]


@pytest.mark.parametrize("text", ["cicrel", "krcle", "stra", "bxo", "berri"])
def test_two_errors_or_a_short_word_are_another_word(text: str) -> None:
    assert found(text) == {}


def test_a_phrase_found_twice_has_its_better_share() -> None:
    assert found("a cirlce and a circle") == {"circle": 1.0}


def test_each_misspelt_word_of_a_phrase_costs() -> None:
    assert found("stuido ghilbi") == {"studio ghibli": pytest.approx(MISSPELT**2)}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("letter", "letter", True),
        ("letter", "leter", True),
        ("letter", "lettter", True),
        ("letter", "lexter", True),
        ("letter", "lettre", True),
        ("letter", "letters!", False),
        ("letter", "elttre", False),
        ("letter", "lxtxer", False),
        ("", "a", True),
        ("", "ab", False),
    ],
)
def test_one_error_is_what_damerau_counts_as_one(first: str, second: str, expected: bool) -> None:
    assert is_one_error(first, second) is expected
    assert is_one_error(second, first) is expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("ponies", "pony"), ("dress", "dress"), ("cactus", "cactus"), ("ring", "ring"), ("red", "red"), ("gas", "gas")],
)
def test_what_only_looks_like_an_ending_stays(word: str, expected: str) -> None:
    assert stem(word) == expected
