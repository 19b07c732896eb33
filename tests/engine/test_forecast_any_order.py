"""What holds of every forecast, whatever is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.costs import LaneCosts
from app.engine.forecast import Demand, Outcome, forecast
from tests.support.demands import make_demand, make_lane

NOW = 100.0
MAX_WAIT_TICKS = 8
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0])
DEADLINES = st.one_of(st.floats(NOW - 5, NOW + 60), st.just(math.inf))

LANES = st.builds(
    lambda forward_s, row_s, max_rows, decode_s: make_lane(
        {rows: forward_s + row_s * rows for rows in range(1, 9)},
        max_rows=max_rows,
        decode_s=decode_s,
    ),
    SECONDS,
    SECONDS,
    st.integers(1, 8),
    SECONDS,
)


@st.composite
def demands_on(draw: st.DrawFn, lanes: Sequence[LaneCosts]) -> Demand:
    images, row_cost = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2]))
    return make_demand(
        draw(st.sampled_from(lanes)),
        draw(st.integers(0, 12)),
        rows=images * row_cost,
        images=images,
        deadline=draw(DEADLINES),
        encode_s=draw(SECONDS),
        ahead=draw(st.integers(0, images - 1)),
    )


@st.composite
def crowds(draw: st.DrawFn) -> list[Demand]:
    lanes = draw(st.lists(LANES, min_size=1, max_size=3))
    return draw(st.lists(demands_on(lanes), min_size=1, max_size=6))


def foresee(demands: Sequence[Demand]) -> dict[Demand, Outcome]:
    return forecast(demands, NOW, MAX_WAIT_TICKS)


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_everyone_ends_once_and_nobody_does_more_than_was_asked(demands: list[Demand]) -> None:
    outcomes = foresee(demands)
    assert set(outcomes) == set(demands)
    assert all(0 <= outcomes[demand].steps <= demand.steps for demand in demands)


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_nobody_ends_before_its_own_work_is_done(demands: list[Demand]) -> None:
    outcomes = foresee(demands)
    for demand in demands:
        if not demand.ahead:
            least_s = outcomes[demand].steps * demand.lane.step.upper_s(1) + demand.decode_s
            assert outcomes[demand].finish >= NOW + least_s - 1e-6


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_who_has_no_deadline_is_whole(demands: list[Demand]) -> None:
    outcomes = foresee(demands)
    assert all(outcomes[demand].steps == demand.steps for demand in demands if demand.deadline == math.inf)


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_company_gives_the_most_urgent_no_more_steps_and_no_earlier_end(demands: list[Demand]) -> None:
    most_urgent = min(demands, key=lambda demand: demand.deadline)
    alone, together = foresee([most_urgent])[most_urgent], foresee(demands)[most_urgent]
    assert together.steps <= alone.steps
    assert together.steps < alone.steps or together.finish >= alone.finish - 1e-6


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_last_comer_makes_nobody_end_earlier_where_nobody_has_a_deadline(demands: list[Demand]) -> None:
    """With deadlines it may: one that leaves earlier makes room."""
    patient = [replace(demand, deadline=math.inf) for demand in demands]
    before, after = foresee(patient[:-1]), foresee(patient)
    assert all(after[demand].finish >= before[demand].finish - 1e-6 for demand in patient[:-1])


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_same_demands_give_the_same_forecast(demands: list[Demand]) -> None:
    assert foresee(demands) == foresee(demands)
