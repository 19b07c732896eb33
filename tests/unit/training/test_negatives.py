"""False captions: told as captions are, and false."""

from __future__ import annotations

import re

import numpy as np
import pytest

from training.captions import random_caption
from training.negatives import Contradictions
from training.scenes import COLOURS, random_spec

_CONTRADICTIONS = Contradictions([tuple(COLOURS)])


def _all(caption: str, tries: int = 400) -> set[str | None]:
    rng = np.random.default_rng(0)
    return {_CONTRADICTIONS.contradict(caption, rng) for _ in range(tries)}


def test_one_thing_is_told_wrongly() -> None:
    found = _all("a star in red")
    assert "a ring in red" in found
    assert "a star in blue" in found
    assert all(text and len(set(text.split()) ^ {"a", "star", "in", "red"}) in (2, 3) for text in found)


def test_two_values_change_places() -> None:
    found = _all("a red star left of a blue ring")
    assert "a blue star left of a red ring" in found
    assert {"a red ring left of a blue star", "a red hoop left of a blue star"} & found
    assert {"a red star below a blue ring", "a red star to the right of a blue ring"} <= found


def test_synonyms_are_no_contradictions() -> None:
    assert not _all("a tiny disc") & {"a little disc", "a tiny circle", "a tiny dot", "a small disc", "a tiny disc"}


def test_plurals_stay_plurals() -> None:
    shapes = {str(text).split()[-1] for text in _all("3 crosses") if str(text).startswith("3")}
    assert shapes >= {"boxes", "stars", "circles", "rings"}
    assert "crosss" not in shapes and "pluses" not in shapes  # of the same value


def test_articles_follow_their_words() -> None:
    for text in _all("an orange star on an orange background"):
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", str(text)), text


def test_a_caption_of_other_words_has_none() -> None:
    assert _all("a picture of nothing") == {None}


@pytest.mark.parametrize("seed", range(3))
def test_every_caption_of_a_scene_has_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(300):
        caption = random_caption(random_spec(rng), rng).text
        false = _CONTRADICTIONS.contradict(caption, rng)
        assert false is not None and false.lower() != caption.lower()
