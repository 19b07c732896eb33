"""Ink sketches as the oracle reads them: what was drawn is what is seen."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.judges.scene import judge
from evaluation.judges.seen_sketch import read_sketch
from evaluation.prompts import prompt_sets
from evaluation.subjects.embedded import SKETCH
from training.drawing import draw_scene
from training.ink import sketch_scene
from training.scenes import ObjectSpec, SceneSpec, random_spec


def test_nearly_all_drawn_sketches_are_read_right() -> None:
    rng = np.random.default_rng(5)
    specs = [random_spec(rng) for _ in range(100)]
    verdicts = [judge(spec, sketch_scene(spec, rng), read_sketch) for spec in specs]
    assert sum(verdict.all_right and verdict.size for verdict in verdicts) >= 98


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (SceneSpec("white", (ObjectSpec("star", "blue", "large"),)), "colour"),
        (SceneSpec("white", (ObjectSpec("heart", "red", "large"),)), "shape"),
        (SceneSpec("mint", (ObjectSpec("star", "red", "large"),)), "background"),
        (SceneSpec("white", (ObjectSpec("star", "red", "small"),)), "size"),
        (SceneSpec("white", (ObjectSpec("star", "red", "large"),), count=2), "count"),
    ],
)
def test_what_is_drawn_otherwise_is_wrong(other: SceneSpec, part: str) -> None:
    asked = SceneSpec("white", (ObjectSpec("star", "red", "large"),))
    verdict = judge(asked, sketch_scene(other, np.random.default_rng(0)), read_sketch)
    assert getattr(verdict, part) is False


def test_an_outline_without_hatching_has_no_colour() -> None:
    rng, spec = np.random.default_rng(1), SceneSpec("white", (ObjectSpec("circle", "red", "large"),))
    image = sketch_scene(spec, rng).copy()
    reddish = (image[..., 0].astype(int) - image[..., 2]) > 40
    image[reddish] = 250
    (seen,) = read_sketch(image).objects
    assert seen.colour is None


def test_what_is_not_hatched_is_no_sketch() -> None:
    rng, spec = np.random.default_rng(1), SceneSpec("white", (ObjectSpec("star", "red", "large"),))
    verdict = judge(spec, draw_scene(spec, rng), read_sketch)
    assert verdict.shape
    assert not verdict.colour
    assert not verdict.all_right


def test_prompts_of_sketches_ask_for_the_same_scenes_in_ink() -> None:
    flat, inked = prompt_sets()["one object"], prompt_sets(SKETCH)["one object"]
    assert len(flat) == len(inked)
    assert all(any(word in prompt.text for word in ("ink", "sketch", "hatched")) for prompt in inked)
    rng = np.random.default_rng(2)
    first = inked[0]
    assert first.subject.judge(first.spec, first.subject.draw(first.spec, rng)).all_right
