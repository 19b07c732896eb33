"""Similarity finds the nearest domain in whatever space it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.backends.clip import Clip
from app.routing.classifier import Corpus
from app.routing.domains import domains_of
from app.routing.similarity import NEAREST, Similarity, nearest_mean, unit
from tests.support.domains import BACKGROUND, bag_of_letters, fruit_and_trains
from tests.support.tiny_clip import build_tiny_clip

CORPUS = Corpus.of(domains_of(fruit_and_trains()), BACKGROUND)


def similarity() -> Similarity:
    return Similarity(bag_of_letters, CORPUS.prompts, CORPUS.prompt_labels, CORPUS.domains)


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ("a plate of ripe bananas", 0),
        ("a basket of cherries and pears", 0),
        ("a locomotive leaving the station", 1),
        ("a train on the railway", 1),
        ("what is the capital of spain", 2),
    ],
)
def test_prompts_find_their_domain(prompt: str, place: int) -> None:
    assert int(similarity().log_likelihood(prompt).argmax()) == place


def test_what_is_near_nothing_is_out_of_domain() -> None:
    assert int(similarity().log_likelihood("qqq www zzz").argmax()) == 2


def test_only_the_nearest_five_count() -> None:
    cosines = np.array([0.1, 0.9, 0.8, 0.7, 0.6, 0.5, -1.0])
    assert nearest_mean(cosines) == pytest.approx(np.mean([0.9, 0.8, 0.7, 0.6, 0.5]))
    assert nearest_mean(np.array([0.4, -np.inf])) == pytest.approx(0.4)
    assert nearest_mean(np.array([-np.inf])) == 0.0
    assert NEAREST == 5


def test_no_example_is_compared_with_itself() -> None:
    """In a space where every text is far from every other one, only a text's own vector could tell its domain."""

    def alone(texts: Sequence[str]) -> np.ndarray:
        known = np.eye(len(CORPUS.prompts))
        return np.array([known[CORPUS.prompts.index(text)] for text in texts])

    unseen = np.exp(Similarity(alone, CORPUS.prompts, CORPUS.prompt_labels, CORPUS.domains).unseen())
    assert np.ptp(unseen, axis=0).max() < 1e-6


def test_a_domain_without_examples_is_never_near() -> None:
    labels = np.where(CORPUS.prompt_labels == 2, 3, CORPUS.prompt_labels)
    found = Similarity(bag_of_letters, CORPUS.prompts, labels, 3)
    assert np.exp(found.log_likelihood("a plate of ripe bananas"))[2] < 1e-3


def test_vectors_are_of_unit_norm_and_zeros_stay() -> None:
    assert np.allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])


def test_a_clip_may_embed(tmp_path: Path) -> None:
    clip = Clip.load(build_tiny_clip(tmp_path))
    read = Similarity(clip.texts, CORPUS.prompts, CORPUS.prompt_labels, CORPUS.domains).log_likelihood("a ripe banana")
    assert read.shape == (3,)
    assert np.exp(read).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("pictured", "place"), [("bananas and cherries", 0), ("a locomotive on the railway", 1)])
def test_a_picture_tells_what_the_prompt_leaves_open(pictured: str, place: int) -> None:
    read, image = similarity(), bag_of_letters([pictured])[0]
    told = read.log_likelihood("a picture of it", image)
    untold = read.log_likelihood("a picture of it")
    assert told[place] - told[1 - place] > untold[place] - untold[1 - place]


def test_a_picture_that_lies_apart_from_all_texts_puts_nothing_out_of_domain() -> None:
    def apart(texts: Sequence[str]) -> np.ndarray:
        return np.hstack([bag_of_letters(texts), np.zeros((len(texts), 1))])

    read = Similarity(apart, CORPUS.prompts, CORPUS.prompt_labels, CORPUS.domains)
    image = np.append(0.05 * unit(bag_of_letters(["bananas"])[0]), 1.0)
    assert int(read.log_likelihood("a plate of ripe bananas", image).argmax()) == 0
