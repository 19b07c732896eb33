"""Scenes and captions: what training is told must be what training is shown."""

from __future__ import annotations

import re

import numpy as np
import pytest

from training.captions import COUNT_WORDS, full_caption, random_caption
from training.drawing import OUTLINES, draw_scene, mask
from training.scenes import (
    BACKGROUNDS,
    COLOURS,
    IMAGE_SIZE,
    SHAPES,
    SIZE_BOUNDARY,
    SceneSpec,
    held_out_combinations,
    is_held_out,
    place,
    random_spec,
)


def random_specs(count: int) -> list[SceneSpec]:
    rng = np.random.default_rng(11)
    return [random_spec(rng) for _ in range(count)]


def test_no_training_scene_shows_a_held_out_combination() -> None:
    held_out = set(held_out_combinations())
    shown = {(o.shape, o.colour, spec.background) for spec in random_specs(3000) for o in spec.objects}
    assert not shown & held_out
    assert len(shown) == len(SHAPES) * len(COLOURS) * len(BACKGROUNDS) - len(held_out)


def test_every_shape_colour_pair_is_trained_on_some_background() -> None:
    for shape in SHAPES:
        for colour in COLOURS:
            assert not all(is_held_out(shape, colour, background) for background in BACKGROUNDS)


def test_relations_hold_in_the_placements() -> None:
    rng = np.random.default_rng(5)
    for spec in random_specs(300):
        placed = place(spec, rng)
        if spec.relation == "left of":
            assert placed[0].x + 10 < placed[1].x
        elif spec.relation == "above":
            assert placed[0].y + 10 < placed[1].y
        else:
            assert len(placed) == spec.count


def test_radii_agree_with_the_sizes_said() -> None:
    rng = np.random.default_rng(6)
    for spec in random_specs(300):
        for item in place(spec, rng):
            assert (item.radius < SIZE_BOUNDARY) == (item.spec.size == "small")


def test_a_scene_has_its_background_in_the_corners_and_its_colour_somewhere() -> None:
    rng = np.random.default_rng(7)
    for spec in random_specs(50):
        image = draw_scene(spec, rng)
        assert image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and image.dtype == np.uint8
        assert tuple(image[0, 0]) == BACKGROUNDS[spec.background]
        for item in spec.objects:
            assert (image == COLOURS[item.colour]).all(axis=2).any()


@pytest.mark.parametrize("shape", OUTLINES)
def test_edges_are_anti_aliased(shape: str) -> None:
    coverage = mask(shape, 20, 0.1, 32, 32, 64)
    partial = ((coverage > 0.05) & (coverage < 0.95)).sum()
    assert partial > 20


def test_the_ring_is_open() -> None:
    assert mask("ring", 20, 0.0, 32, 32, 64)[32, 32] == 0


def test_a_full_caption_names_colour_background_and_count() -> None:
    rng = np.random.default_rng(8)
    for spec in random_specs(300):
        text = full_caption(spec, rng).text.lower()
        assert all(item.colour in text for item in spec.objects)
        assert spec.background in text.replace("gray", "grey")
        if spec.count > 1:
            assert any(re.search(rf"\b{word}\b", text) for word in COUNT_WORDS[spec.count])


def test_a_caption_says_what_it_leaves_out() -> None:
    rng = np.random.default_rng(9)
    for spec in random_specs(500):
        caption = random_caption(spec, rng)
        said = caption.text.lower().replace("gray", "grey")
        assert caption.names_background == (spec.background in said)
        if len({item.colour for item in spec.objects}) == len(spec.objects):
            for item, named in zip(spec.objects, caption.names_colours, strict=True):
                assert named == (re.search(rf"\b{item.colour}\b", said) is not None) or item.colour in ("blue", "green")
