"""The oracle's features: near for like scenes, and a distance of sets in them tells better from worse."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.features.find import find_features
from evaluation.features.oracle import OracleFeatures
from evaluation.metrics.frechet import frechet_distance
from training.drawing import draw_scene
from training.scenes import ObjectSpec, SceneSpec, random_spec


def _features(specs: list[SceneSpec], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return OracleFeatures().images([draw_scene(spec, rng) for spec in specs])


def test_one_scene_drawn_twice_is_nearer_than_another() -> None:
    rng = np.random.default_rng(0)
    specs = [random_spec(rng) for _ in range(20)]
    first, second = _features(specs, 1), _features(specs, 2)
    distances = np.linalg.norm(first[:, None] - second[None], axis=-1)
    assert (distances.argmin(axis=1) == np.arange(20)).mean() >= 0.9


def test_sets_of_other_scenes_are_further_than_sets_of_the_same() -> None:
    rng = np.random.default_rng(3)
    specs = [random_spec(rng) for _ in range(120)]
    red = [SceneSpec("white", (ObjectSpec("star", "red", "large"),))] * 60
    real = _features(specs[:60], 4)
    assert frechet_distance(real, _features(specs[60:], 5)) < frechet_distance(real, _features(red, 6))


def test_an_empty_picture_has_features() -> None:
    blank = np.full((128, 128, 3), 250, dtype=np.uint8)
    assert OracleFeatures().images([blank, blank]).shape[0] == 2


def test_the_oracle_is_what_is_left_without_a_network() -> None:
    assert find_features("auto", None).name == "oracle"
    with pytest.raises(ValueError, match="no CLIP is given"):
        find_features("clip", None)
    with pytest.raises(ValueError, match="torch-fidelity or its weights are not here"):
        find_features("inception", None)
