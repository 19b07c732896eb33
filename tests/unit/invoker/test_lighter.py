"""What a request that may be degraded can be brought down to."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Fitting, Overloaded
from app.invoker.lighter import lighter_versions
from app.roms.manifest import Preset
from tests.support.params import make_params

STEPS = "num_inference_steps"
ASKED = make_params(num_inference_steps=20, width=128, height=96)


def versions(fits: Fitting | None, preset: Preset, **asked: Any) -> list[tuple[int, int, int, str]]:
    """Steps, width, height and the field that the notice names, of every version in its order."""
    refusal = Overloaded("full", fits=fits)
    params = make_params(**{"num_inference_steps": 20, "width": 128, "height": 96} | asked)
    found = list(lighter_versions(params, refusal, preset, size_multiple=8))
    assert {notice.code for _, notice in found} <= {"degraded"}
    return [(lighter.num_inference_steps, lighter.width, lighter.height, notice.param) for lighter, notice in found]


@pytest.mark.parametrize(
    ("fits", "preset", "expected"),
    [
        (Fitting(12), Preset(), [(12, 128, 96, STEPS), (20, 64, 48, "width")]),
        (Fitting(10), Preset(), [(10, 128, 96, STEPS), (20, 64, 48, "width")]),
        (Fitting(9), Preset(), [(20, 64, 48, "width")]),
        (Fitting(20, 64, 48), Preset(), [(20, 64, 48, "width")]),
        (None, Preset(), [(20, 64, 48, "width")]),
        (Fitting(5), Preset(partial_share=0.25), [(5, 128, 96, STEPS), (20, 64, 48, "width")]),
        (Fitting(12), Preset(degrade=("steps",), partial_share=0.25), [(12, 128, 96, STEPS), (9, 128, 96, STEPS)]),
        (Fitting(12), Preset(degrade=("size", "steps")), [(20, 64, 48, "width"), (12, 128, 96, STEPS)]),
        (Fitting(12), Preset(degrade=("steps",)), [(12, 128, 96, STEPS)]),
        (Fitting(12), Preset(degrade=("twin",), twin="quick"), []),
        (Fitting(12), Preset(degrade=()), []),
    ],
)
def test_the_preset_says_which_ways_there_are_and_in_what_order(
    fits: Fitting | None, preset: Preset, expected: list[tuple[int, int, int, str]]
) -> None:
    assert versions(fits, preset) == expected


@pytest.mark.parametrize(
    ("width", "height", "half"),
    [(64, 64, [(32, 32)]), (72, 40, [(32, 16)]), (16, 8, [(8, 8)]), (8, 8, [])],
)
def test_half_a_size_is_one_that_the_rom_can_make(width: int, height: int, half: list[tuple[int, int]]) -> None:
    found = versions(None, Preset(), width=width, height=height)
    assert [(lighter[1], lighter[2]) for lighter in found] == half


def test_the_notice_tells_what_was_asked_and_what_is_made() -> None:
    refusal = Overloaded("full", fits=Fitting(12))
    (_, steps), (_, size) = lighter_versions(ASKED, refusal, Preset(), size_multiple=8)
    assert "20" in steps.detail and "12" in steps.detail
    assert "128x96" in size.detail and "64x48" in size.detail
