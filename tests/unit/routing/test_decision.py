"""The choice between ROMs: likelihood against time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.routing.decision import Option, Terms, choose

TERMS = Terms(time_left_s=55.0, price=1.0)
SHAPES = Option("shapes", "shapes", 0.9, adeptness=0.95, run_s=2.0)
TURBO = Option("turbo", "shapes", 0.9, adeptness=0.88, run_s=0.5)
DIGITS = Option("digits", "digits", 0.1, run_s=1.0)


def chosen(*options: Option, **terms: Any) -> str:
    return choose(options, replace(TERMS, **terms)).rom_id


def test_with_time_to_spare_the_most_adept_rom_answers() -> None:
    choice = choose([DIGITS, TURBO, SHAPES], TERMS)
    assert (choice.rom_id, choice.why) == ("shapes", "the most adept")


def test_as_time_runs_short_the_faster_twin_answers_and_the_reason_says_why() -> None:
    choice = choose([SHAPES, TURBO, DIGITS], replace(TERMS, time_left_s=5.0))
    assert choice.rom_id == "turbo"
    assert choice.without_cost == "shapes"
    assert choice.why == "quicker than 'shapes', which takes 2.0 s"


def test_of_twins_that_nothing_tells_apart_the_quicker_answers() -> None:
    assert chosen(replace(SHAPES, adeptness=1.0), replace(TURBO, adeptness=1.0)) == "turbo"


def test_a_cold_rom_is_not_chosen_when_it_cannot_be_ready_in_time() -> None:
    cold = replace(SHAPES, ready_s=60.0)
    choice = choose([cold, DIGITS], TERMS)
    assert choice.rom_id == "digits"
    assert "takes 62.0 s, and 55.0 s are left" in choice.why


def test_a_rom_that_cannot_do_it_is_not_chosen() -> None:
    assert chosen(replace(SHAPES, obstacle="has no preset 'wild'"), DIGITS) == "digits"


def test_what_it_would_be_without_cost_is_a_rom_that_can_do_it() -> None:
    unable = replace(SHAPES, obstacle="has no preset 'wild'")
    assert choose([unable, TURBO, DIGITS], TERMS).without_cost == "turbo"
    assert choose([replace(SHAPES, ready_s=100.0), TURBO], TERMS).without_cost == "shapes"


def test_where_none_can_do_it_the_most_likely_tells_why() -> None:
    choice = choose([replace(DIGITS, obstacle="too small"), replace(SHAPES, obstacle="too large")], TERMS)
    assert choice.rom_id == "shapes"


def test_where_none_has_the_time_the_quickest_is_asked() -> None:
    assert chosen(SHAPES, DIGITS, TURBO, time_left_s=0.1) == "turbo"


@pytest.mark.parametrize("time_left_s", [0.0, -3.0])
def test_when_the_time_is_over_there_is_still_a_choice(time_left_s: float) -> None:
    assert chosen(SHAPES, TURBO, time_left_s=time_left_s) == "turbo"


def test_a_prompt_that_cannot_be_told_goes_to_the_default() -> None:
    assert chosen(SHAPES, DIGITS, default="digits", is_certain=False) == "digits"
    assert chosen(SHAPES, DIGITS, default="digits") == "shapes"
    assert chosen(SHAPES, DIGITS, default="elsewhere", is_certain=False) == "shapes"


def test_the_default_that_cannot_make_it_in_time_is_passed_over() -> None:
    slow = replace(DIGITS, ready_s=100.0)
    assert chosen(slow, SHAPES, default="digits", is_certain=False) == "shapes"


def test_a_tie_goes_to_the_default() -> None:
    twin = replace(SHAPES, rom_id="twin")
    assert chosen(SHAPES, twin) == "shapes"
    assert chosen(SHAPES, twin, default="twin") == "twin"


def test_a_draw_follows_the_odds_of_the_scores_and_its_seed() -> None:
    options = [Option("often", "a", 0.8), Option("seldom", "b", 0.2)]
    draws = Counter(chosen(*options, temperature=1.0, seed=seed) for seed in range(4000))
    assert draws["often"] / 4000 == pytest.approx(0.8, abs=0.03)
    cold = Counter(chosen(*options, temperature=0.25, seed=seed) for seed in range(4000))
    assert cold["often"] / 4000 == pytest.approx(0.8**4 / (0.8**4 + 0.2**4), abs=0.02)
    again = [chosen(*options, temperature=1.0, seed=7) for _ in range(5)]
    assert len(set(again)) == 1


def test_a_draw_takes_none_that_cannot_answer() -> None:
    options = [replace(SHAPES, obstacle="needs an image"), replace(DIGITS, ready_s=100.0), TURBO]
    assert {chosen(*options, temperature=5.0, seed=seed) for seed in range(50)} == {"turbo"}


def test_scores_are_log_likelihood_and_adeptness_less_the_price_of_time() -> None:
    weighed = choose([SHAPES], replace(TERMS, time_left_s=10.0, price=3.0)).weighed[0]
    assert weighed.cost == pytest.approx(3.0 * 2.0 / 10.0)
    assert weighed.score == pytest.approx(math.log(0.9 * 0.95) - 0.6)


seconds = st.floats(0, 100)
options = st.lists(
    st.builds(
        Option, st.uuids().map(str), st.just("any"), st.floats(0, 1), st.floats(0.01, 1), seconds, seconds, seconds
    ),
    min_size=1,
    max_size=6,
)


@given(options, st.lists(st.floats(0.01, 300), min_size=2, max_size=6), st.floats(0, 5), st.booleans())
def test_as_deadlines_tighten_the_choice_never_moves_to_a_slower_rom(
    found: list[Option], times: list[float], price: float, is_certain: bool
) -> None:
    eta_s = {one.rom_id: one.eta_s for one in found}
    choices = [choose(found, Terms(time, price, found[0].rom_id, is_certain)) for time in sorted(times, reverse=True)]
    etas = [eta_s[choice.rom_id] for choice in choices]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(etas))


@given(options, st.floats(0.01, 300), st.floats(0, 5), st.booleans(), st.floats(0, 2))
def test_what_cannot_finish_is_chosen_only_where_nothing_can(
    found: list[Option], time_left_s: float, price: float, is_certain: bool, temperature: float
) -> None:
    terms = Terms(time_left_s, price, found[-1].rom_id, is_certain, temperature, seed=1)
    choice = choose(found, terms)
    eta_s = next(one.eta_s for one in found if one.rom_id == choice.rom_id)
    assert eta_s <= time_left_s or all(one.eta_s > time_left_s for one in found)
