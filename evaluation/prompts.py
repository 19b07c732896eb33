"""What the ROM is asked during evaluation: fixed prompts that depend on one seed, which no training recipe uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.subjects import SHAPES, Subject
from training.scenes import SIZES, ObjectSpec, SceneSpec, held_out_combinations, random_spec

_SEED = 20_010_503
_KINDS = {"one object": (1.0, 0.0, 0.0), "two objects": (0.0, 0.0, 1.0), "several alike": (0.0, 1.0, 0.0)}


@dataclass(frozen=True)
class EvaluationPrompt:
    """A caption that names everything in `spec`, and the seed of the noise its image starts from."""

    spec: SceneSpec
    text: str
    seed: int
    subject: Subject = SHAPES


def prompt_sets(subject: Subject = SHAPES) -> dict[str, list[EvaluationPrompt]]:
    """Every set by name: 128 of one object, 128 of two, 128 of combinations training held out, 64 of several alike."""
    return {
        "one object": familiar("one object", 128, subject),
        "two objects": familiar("two objects", 128, subject),
        "held out": held_out(128, subject),
        "several alike": familiar("several alike", 64, subject),
    }


def familiar(kind: str, number: int, subject: Subject = SHAPES) -> list[EvaluationPrompt]:
    """Scenes that training may have seen. `kind` is "one object", "two objects" (with a relation) or "several alike".

    Raises KeyError for another kind.
    """
    rng = np.random.default_rng((_SEED, list(_KINDS).index(kind)))
    return [_prompt(random_spec(rng, _KINDS[kind]), rng, subject) for _ in range(number)]


def held_out(number: int, subject: Subject = SHAPES) -> list[EvaluationPrompt]:
    """One object in a (shape, colour, background) that training never shows; each combination in turn."""
    rng = np.random.default_rng((_SEED, len(_KINDS)))
    combinations = held_out_combinations()
    order = np.concatenate([rng.permutation(len(combinations)) for _ in range(-(-number // len(combinations)))])
    specs = []
    for index in order[:number]:
        shape, colour, background = combinations[int(index)]
        specs.append(SceneSpec(background, (ObjectSpec(shape, colour, str(rng.choice(SIZES))),)))
    return [_prompt(spec, rng, subject) for spec in specs]


def _prompt(spec: SceneSpec, rng: np.random.Generator, subject: Subject) -> EvaluationPrompt:
    return EvaluationPrompt(spec, subject.say(spec, rng), int(rng.integers(2**31)), subject)
