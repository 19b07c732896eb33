"""The evaluation, end to end, of a generator whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.roms.manifest import Preset
from evaluation.alignment import evaluate
from evaluation.prompts import EvaluationPrompt, prompt_sets
from evaluation.report import RomReport
from training.drawing import draw_scene
from training.scenes import BACKGROUNDS, SceneSpec


class DrawingGenerator:
    """Draws what the prompts mean, but every `error_every`-th image on another background."""

    def __init__(self, sets: dict[str, list[EvaluationPrompt]], error_every: int) -> None:
        self._specs = {(p.text, p.seed): p.spec for prompts in sets.values() for p in prompts}
        self._error_every = error_every
        self._drawn = 0

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[np.ndarray]:
        return [self._draw(self._specs[key], key[1]) for key in zip(prompts, seeds, strict=True)]

    def _draw(self, spec: SceneSpec, seed: int) -> np.ndarray:
        self._drawn += 1
        background = spec.background
        if self._drawn % self._error_every == 0:
            background = next(name for name in BACKGROUNDS if name != spec.background)
        return draw_scene(SceneSpec(background, spec.objects, spec.count, spec.relation), np.random.default_rng(seed))


def _sets(number: int) -> dict[str, list[EvaluationPrompt]]:
    return {name: prompts[:number] for name, prompts in prompt_sets().items()}


def test_rates_are_those_of_the_generator() -> None:
    sets = _sets(32)
    report = evaluate(DrawingGenerator(sets, error_every=4), sets, batch_size=10, show_progress=False)
    for name, rates in report.rates().items():
        assert rates["all_right"] == rates["background"] == pytest.approx(0.75), name
        assert rates["shape"] == rates["colour"] == rates["count"] == rates["size"] == 1.0, name
        assert rates["relation"] == (1.0 if name == "two objects" else None), name


def test_images_keep_the_order_of_their_prompts() -> None:
    sets = _sets(5)
    report = evaluate(DrawingGenerator(sets, error_every=1000), sets, batch_size=2, show_progress=False)
    assert {part.name: [item.prompt for item in part.images] for part in report.sets} == sets


def test_a_generator_that_loses_images_is_refused() -> None:
    def generate(prompts: list[str], seeds: list[int]) -> list[np.ndarray]:
        return []

    with pytest.raises(ValueError, match="asked for 2 images, got 0"):
        evaluate(generate, _sets(2), show_progress=False)


def test_the_report_is_written(tmp_path: Path) -> None:
    sets = _sets(8)
    alignment = evaluate(DrawingGenerator(sets, error_every=4), sets, show_progress=False)
    report = RomReport("drawn", Preset(), 1.25, alignment)
    report.write(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["rates"]["held out"]["all_right"] == 0.75
    assert [row["all_right"] for row in document["images"]["one object"]] == [True, True, True, False] * 2
    assert "| one object | 8 | 100.0 | 100.0 | 75.0 |" in (tmp_path / "out" / "report.md").read_text()
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 20) or []}
    assert (220, 0, 0) in colours
