"""The scenes that evaluation asks for, kind by kind: they depend on one seed, which no training recipe uses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from evaluation.subjects.subject import SEED, Kind
from training.scenes import SIZES, ObjectSpec, SceneSpec, held_out_combinations, random_spec

_HELD_OUT = 128
_SHARES = {"one object": (1.0, 0.0, 0.0), "two objects": (0.0, 0.0, 1.0), "several alike": (0.0, 1.0, 0.0)}
_SIZES = {"one object": 128, "two objects": 128, "several alike": 64}


def _familiar(name: str) -> Iterator[tuple[SceneSpec, np.random.Generator]]:
    """Scenes that training may have seen; the generator says them next."""
    rng = np.random.default_rng((SEED, list(_SHARES).index(name)))
    for _ in range(_SIZES[name]):
        yield random_spec(rng, _SHARES[name]), rng


def _held_out() -> Iterator[tuple[SceneSpec, np.random.Generator]]:
    """One object in a (shape, colour, background) that training never shows; each combination in turn."""
    rng = np.random.default_rng((SEED, len(_SHARES)))
    combinations = held_out_combinations()
    order = np.concatenate([rng.permutation(len(combinations)) for _ in range(-(-_HELD_OUT // len(combinations)))])
    specs = []
    for index in order[:_HELD_OUT]:
        shape, colour, background = combinations[int(index)]
        specs.append(SceneSpec(background, (ObjectSpec(shape, colour, str(rng.choice(SIZES))),)))
    for spec in specs:
        yield spec, rng


SCENE_KINDS: dict[str, Kind] = {
    "one object": partial(_familiar, "one object"),
    "two objects": partial(_familiar, "two objects"),
    "held out": _held_out,
    "several alike": partial(_familiar, "several alike"),
}
