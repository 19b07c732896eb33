"""The pictures that metrics look at, their prompts, and the pictures that they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.prompts import EvaluationPrompt, prompt_sets
from evaluation.subjects.subject import Subject

_REFERENCE_SEED = 20_170_626


@dataclass(frozen=True)
class Samples:
    """Pictures, uint8 [H, W, 3] each, with the prompt of each; no prompts where nobody knows them."""

    images: list[np.ndarray]
    prompts: list[str]


@dataclass(frozen=True)
class Asked:
    """Prompts with the seeds of their pictures; `scenes` are what they ask for, where they are our own."""

    prompts: list[str]
    seeds: list[int]
    scenes: list[EvaluationPrompt]


def own_prompts(limit: int | None, subject: Subject) -> dict[str, list[EvaluationPrompt]]:
    """The fixed prompt sets, the first `limit` of each."""
    return {name: prompts[:limit] for name, prompts in prompt_sets(subject).items()}


def asked_of(sets: dict[str, list[EvaluationPrompt]]) -> Asked:
    """All prompts of the sets in turn: the first of each, the second of each, ..."""
    longest = max(len(prompts) for prompts in sets.values())
    scenes = [prompts[index] for index in range(longest) for prompts in sets.values() if index < len(prompts)]
    return Asked([scene.text for scene in scenes], [scene.seed for scene in scenes], scenes)


def read_prompts(path: Path, limit: int | None) -> Asked:
    """One prompt a line, with the seeds 0, 1, 2, ... Raises ValueError where the file has none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:limit]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not lines:
        raise ValueError(f"{path} holds no prompt")
    return Asked(lines, list(range(len(lines))), [])


def drawn(scenes: Sequence[EvaluationPrompt]) -> list[np.ndarray]:
    """What the prompts ask for as training draws it: one picture a prompt, at places of its own."""
    rng = np.random.default_rng(_REFERENCE_SEED)
    return [scene.subject.draw(scene.spec, rng) for scene in scenes]
