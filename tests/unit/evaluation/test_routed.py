"""What routing is worth: who answers, what counts as right, and the table."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from app.backends.clip import Clip
from evaluation.features.oracle import OracleFeatures
from evaluation.metrics.measure import Instruments
from evaluation.prompts import EvaluationPrompt, prompts_of
from evaluation.routed import Answers, Contender, answer, contenders, judge, table
from evaluation.samples import drawn
from evaluation.subjects.embedded import DIGITS
from tests.support.roms import write_manifest
from tests.support.tiny_clip import build_tiny_clip
from training.recipes.digits import DIGITS as DIGITS_RECIPE
from training.recipes.shapes import SHAPES as SHAPES_RECIPE

ROMS = {"shapes": "shapes", "shapes-small": "shapes", "digits": "digits"}
MEMORY = "40MB"


@pytest.fixture(scope="module")
def asked() -> list[tuple[str, EvaluationPrompt]]:
    scenes, numbers = prompts_of("one object", 3), prompts_of(next(iter(DIGITS.kinds)), 3, DIGITS)
    return [pair for both in zip(scenes, numbers, strict=True) for pair in zip(("shapes", "digits"), both, strict=True)]


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Instruments:
    return Instruments(OracleFeatures(), Clip.load(build_tiny_clip(tmp_path_factory.mktemp("clip"))))


def _drawn(asked: list[tuple[str, EvaluationPrompt]]) -> list[np.ndarray]:
    return drawn([prompt for _, prompt in asked])


def test_prompts_go_to_another_process_as_they_are(asked: list[tuple[str, EvaluationPrompt]]) -> None:
    arrived = pickle.loads(pickle.dumps(asked))
    assert [(domain, one.text, one.seed) for domain, one in arrived] == [
        (name, own.text, own.seed) for name, own in asked
    ]
    assert all(
        one.subject.judge(one.spec, image).all_right for (_, one), image in zip(arrived, _drawn(asked), strict=True)
    )


def test_each_alone_then_the_invoker_then_one_who_is_told() -> None:
    *alone, invoker, told = contenders(ROMS)
    assert [(one.name, one.candidates) for one in alone] == [
        (rom_id, {"shapes": (rom_id,), "digits": (rom_id,)}) for rom_id in ROMS
    ]
    assert invoker.candidates == {}
    assert told.candidates == {"shapes": ("shapes", "shapes-small"), "digits": ("digits",)}


def test_the_invoker_finds_the_domains_within_the_memory(
    tmp_path: Path, asked: list[tuple[str, EvaluationPrompt]]
) -> None:
    for recipe in (SHAPES_RECIPE, DIGITS_RECIPE):
        domain = recipe.manifest.domain.model_dump(mode="json")
        quick = {"default": {"num_inference_steps": 1, "width": 128, "height": 128}}
        write_manifest(tmp_path / recipe.manifest.id, domain=domain, presets=quick)
    answers = answer(tmp_path, Contender("the invoker", {}), asked, MEMORY)
    assert answers.rom_ids == [domain for domain, _ in asked]
    assert [image.shape for image in answers.images] == [(128, 128, 3)] * len(asked)
    assert answers.weights_bytes <= 40 * 10**6


def test_what_shows_the_prompt_is_right_and_who_answered_is_counted(
    asked: list[tuple[str, EvaluationPrompt]], instruments: Instruments
) -> None:
    pictures = _drawn(asked)
    blank = np.full((128, 128, 3), 255, np.uint8)
    images = [picture if domain == "shapes" else blank for (domain, _), picture in zip(asked, pictures, strict=True)]
    answers = Answers(images, ["shapes-small"] * len(asked), 1.5, 20 * 2**20, 700 * 2**20)
    row = judge(Contender("shapes-small", {}), answers, asked, ROMS, instruments)
    assert row.by_domain == {"shapes": 1.0, "digits": 0.0}
    assert (row.alignment, row.right_domain) == (0.5, 0.5)
    head, _, line = table([row]).splitlines()
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert (cells["right"], cells["shapes"], cells["digits"], cells["domain hit"]) == (
        "50.0%",
        "100.0%",
        "0.0%",
        "50.0%",
    )
    assert cells["s an image"] == "1.50"
