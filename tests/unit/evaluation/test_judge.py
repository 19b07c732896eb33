"""The judge is trusted with the headline numbers, so it is measured first: on scenes whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TypeVar

import numpy as np
import pytest
from scipy import ndimage

from evaluation.judges.scene import compare, judge
from evaluation.judges.seen_scene import SeenScene, read_scene
from training.drawing import draw, draw_scene
from training.scenes import BACKGROUNDS, COLOURS, SHAPES, ObjectSpec, Placement, SceneSpec, place, random_spec

_SCENES = 400
_T = TypeVar("_T")
_Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _clean(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image


def _soft(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _levels(ndimage.gaussian_filter(image.astype(float), (0.8, 0.8, 0)) + rng.uniform(-6, 6, image.shape))


def _haloed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Overshoot around edges and a tint of the whole, as an autoencoder leaves them."""
    pixels = image.astype(float)
    pixels += 0.15 * (pixels - ndimage.gaussian_filter(pixels, (4, 4, 0))) + rng.uniform(-6, 6, 3)
    return _levels(ndimage.gaussian_filter(pixels, (0.8, 0.8, 0)))


def _levels(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels.clip(0, 255).round().astype(np.uint8))


_CONDITIONS: dict[str, _Degrade] = {"clean": _clean, "soft": _soft, "haloed": _haloed}


@cache
def _seen(condition: str) -> tuple[tuple[SceneSpec, list[Placement], SeenScene], ...]:
    rng = np.random.default_rng(2024)
    rows = []
    for _ in range(_SCENES):
        spec = random_spec(rng)
        placements = place(spec, rng)
        image = _CONDITIONS[condition](draw(spec.background, placements), rng)
        rows.append((spec, placements, read_scene(image)))
    return tuple(rows)


@pytest.mark.parametrize("condition", _CONDITIONS)
def test_true_scenes_are_right(condition: str) -> None:
    verdicts = [compare(spec, scene) for spec, _, scene in _seen(condition)]
    assert np.mean([verdict.all_right for verdict in verdicts]) >= 0.99
    assert np.mean([verdict.size for verdict in verdicts]) >= 0.99


@pytest.mark.parametrize("condition", _CONDITIONS)
@pytest.mark.parametrize("part", ["shape", "colour", "background", "relation", "count", "binding"])
def test_false_scenes_are_wrong(condition: str, part: str) -> None:
    rng = np.random.default_rng(7)
    refused = []
    for spec, _, scene in _seen(condition):
        for false in _falsified(spec, part, rng):
            verdict = compare(false, scene)
            refused.append(not verdict.all_right and (part == "binding" or getattr(verdict, part) is False))
    assert len(refused) >= 40
    assert np.mean(refused) >= 0.99


def _falsified(spec: SceneSpec, part: str, rng: np.random.Generator) -> Iterator[SceneSpec]:
    """The scene with one part told wrongly, where it has such a part."""
    first, *rest = spec.objects
    if part == "shape":
        yield replace(spec, objects=(replace(first, shape=_other(SHAPES, first.shape, rng)), *rest))
    elif part == "colour":
        yield replace(spec, objects=(replace(first, colour=_other(tuple(COLOURS), first.colour, rng)), *rest))
    elif part == "background":
        yield replace(spec, background=_other(tuple(BACKGROUNDS), spec.background, rng))
    elif part == "count" and not spec.relation:
        yield replace(spec, count=_other((1, 2, 3, 4), spec.count, rng))
    elif part == "relation" and spec.relation:
        yield replace(spec, objects=spec.objects[::-1])
        yield replace(spec, relation="above" if spec.relation == "left of" else "left of")
    elif part == "binding" and rest and first.shape != rest[0].shape and first.colour != rest[0].colour:
        yield replace(spec, objects=(replace(first, colour=rest[0].colour), replace(rest[0], colour=first.colour)))


def _other(values: tuple[_T, ...], value: _T, rng: np.random.Generator) -> _T:
    return [item for item in values if item != value][int(rng.integers(len(values) - 1))]


def test_places_and_radii_are_those_drawn() -> None:
    for spec, placements, scene in _seen("clean"):
        if spec.count == 1 and not spec.relation:
            (drawn,), (seen,) = placements, scene.objects
            assert (seen.x, seen.y, seen.radius) == pytest.approx((drawn.x, drawn.y, drawn.radius), abs=0.6)


def _circle(colour: str, x: float = 64.0, y: float = 64.0, radius: float = 30.0) -> Placement:
    return Placement(ObjectSpec("circle", colour, "large"), x, y, radius, 0.0)


_RED_CIRCLE = SceneSpec("white", (ObjectSpec("circle", "red", "large"),))


def test_a_second_blob_is_wrong() -> None:
    verdict = judge(_RED_CIRCLE, draw("white", [_circle("red"), _circle("blue", 15, 15, 6)]))
    assert not verdict.count and not verdict.all_right
    assert verdict.shape and verdict.colour and verdict.background


def test_specks_are_ignored() -> None:
    assert judge(_RED_CIRCLE, draw("white", [_circle("red"), _circle("blue", 15, 15, 3)])).all_right


def test_an_empty_image_shows_nothing_but_its_background() -> None:
    verdict = judge(_RED_CIRCLE, draw("white", []))
    assert verdict.background
    assert not any((verdict.shape, verdict.colour, verdict.size, verdict.count, verdict.all_right))


def test_an_object_of_two_colours_has_no_colour() -> None:
    image = draw("white", [_circle("red")])
    image[:64] = draw("white", [_circle("blue")])[:64]
    verdict = judge(_RED_CIRCLE, image)
    assert verdict.shape and verdict.count and not verdict.colour


def test_touching_objects_are_told_apart_by_colour() -> None:
    objects = (ObjectSpec("circle", "red", "large"), ObjectSpec("circle", "blue", "large"))
    image = draw("white", [_circle("red", 37), _circle("blue", 91)])
    assert judge(SceneSpec("white", objects, relation="left of"), image).all_right


def test_a_blob_without_a_known_outline_has_no_shape() -> None:
    image = draw("white", [])
    image[20:40, 20:100] = image[20:100, 20:40] = COLOURS["red"]
    (seen,) = read_scene(image).objects
    assert (seen.shape, seen.colour) == (None, "red")


def test_an_unknown_background_has_no_name() -> None:
    image = np.full((128, 128, 3), (120, 60, 30), dtype=np.uint8)
    assert read_scene(image) == SeenScene(None, ())


def test_noise_is_no_scene() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert not judge(random_spec(rng), image).all_right


@pytest.mark.parametrize("shape", [(64, 64, 3), (128, 128), (128, 128, 4)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        read_scene(np.zeros(shape, dtype=np.uint8))


def test_reading_repeats_itself() -> None:
    rng = np.random.default_rng(3)
    image = draw_scene(random_spec(rng), rng)
    assert read_scene(image) == read_scene(image.copy())
