"""What a ROM is asked during evaluation: fixed prompts, the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from evaluation.subjects.embedded import SHAPES
from evaluation.subjects.subject import Subject


@dataclass(frozen=True)
class EvaluationPrompt:
    """A caption that names everything in `spec`, and the seed of the noise its image starts from."""

    spec: Any  # what the subject draws and judges
    text: str
    seed: int
    subject: Subject = SHAPES


def prompt_sets(subject: Subject = SHAPES) -> dict[str, list[EvaluationPrompt]]:
    """Every kind by name; of scenes 128 of one object, 128 of two, 128 held out from training, 64 of several alike."""
    return {kind: prompts_of(kind, subject=subject) for kind in subject.kinds}


def prompts_of(kind: str, number: int | None = None, subject: Subject = SHAPES) -> list[EvaluationPrompt]:
    """The first `number` of a kind, or all. Raises KeyError for a kind that the subject has not."""
    return [
        EvaluationPrompt(spec, subject.say(spec, rng), int(rng.integers(2**31)), subject)
        for spec, rng in islice(subject.kinds[kind](), number)
    ]
