"""Prompt alignment: how often a ROM's images show what their prompts ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from evaluation.judges.verdict import Verdict
from evaluation.prompts import EvaluationPrompt

Generate = Callable[[list[str], list[int]], list[np.ndarray]]  # prompts, seeds -> images, uint8 [128, 128, 3]
ALL_RIGHT = "all_right"


@dataclass(frozen=True)
class JudgedImage:
    prompt: EvaluationPrompt
    image: np.ndarray  # uint8 [128, 128, 3]
    verdict: Verdict

    @property
    def answers(self) -> dict[str, bool | None]:
        """Every part of the verdict, and the whole of it."""
        return {**self.verdict.parts, ALL_RIGHT: self.verdict.all_right}


@dataclass(frozen=True)
class SetReport:
    """The images of one prompt set, in the order of its prompts."""

    name: str
    images: tuple[JudgedImage, ...]

    def rate(self, part: str) -> float | None:
        """The share, 0..1, of images of which this part is right; None when no prompt asks for it."""
        answers = [item.answers[part] for item in self.images]
        asked = [answer for answer in answers if answer is not None]
        return sum(asked) / len(asked) if asked else None


@dataclass(frozen=True)
class AlignmentReport:
    sets: tuple[SetReport, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """Of the verdicts; the last is the whole."""
        return tuple(next((item.answers for report in self.sets for item in report.images), {ALL_RIGHT: None}))

    def rates(self) -> dict[str, dict[str, float | None]]:
        """Every set's rate of every part, by the set's name and the part's."""
        return {report.name: {part: report.rate(part) for part in self.parts} for report in self.sets}


def evaluate(
    generate: Generate, sets: dict[str, list[EvaluationPrompt]], batch_size: int = 16, show_progress: bool = True
) -> AlignmentReport:
    """Generate and judge one image a prompt.

    Raises ValueError when `generate` returns another number of images than it got prompts, or images of another kind.
    """
    number = sum(len(prompts) for prompts in sets.values())
    reports = []
    with tqdm(total=number, desc="alignment", unit="image", dynamic_ncols=True, disable=not show_progress) as progress:
        for name, prompts in sets.items():
            images: list[JudgedImage] = []
            for batch in _batches(prompts, batch_size):
                images += _judge_batch(generate, batch)
                progress.update(len(batch))
            reports.append(SetReport(name, tuple(images)))
            progress.set_postfix_str(f"{name}: {reports[-1].rate(ALL_RIGHT) or 0:.1%} all right")
    return AlignmentReport(tuple(reports))


def _batches(prompts: list[EvaluationPrompt], batch_size: int) -> Iterator[list[EvaluationPrompt]]:
    for start in range(0, len(prompts), batch_size):
        yield prompts[start : start + batch_size]


def _judge_batch(generate: Generate, batch: list[EvaluationPrompt]) -> list[JudgedImage]:
    images = generate([prompt.text for prompt in batch], [prompt.seed for prompt in batch])
    if len(images) != len(batch):
        raise ValueError(f"asked for {len(batch)} images, got {len(images)}")
    pairs = zip(batch, images, strict=True)
    return [JudgedImage(prompt, image, prompt.subject.judge(prompt.spec, image)) for prompt, image in pairs]
