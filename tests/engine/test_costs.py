"""What a forward costs, as far as was seen; the figures follow by hand from steady times."""

from __future__ import annotations

import pytest

from app.engine.costs import LaneCosts, StepCost

PRIOR_S = 0.5
SEEN = 30  # forwards of one size, all alike: the deviation has gone


def steady(times: dict[int, float], forwards: int = SEEN) -> StepCost:
    """After `forwards` of each size, which took that long each time."""
    cost = StepCost(PRIOR_S)
    for rows, seconds in times.items():
        for number in range(forwards):
            cost.observe(rows, seconds, float(number))
    return cost


def test_before_anything_was_seen_time_grows_with_the_rows() -> None:
    cost = StepCost(PRIOR_S)
    assert not cost.is_measured
    assert cost.row_s() == PRIOR_S
    assert cost.upper_s(4) == 4 * cost.upper_s(1) >= 4 * PRIOR_S


def test_steady_time_is_what_is_expected() -> None:
    assert steady({4: 2.0}).upper_s(4) == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_fewer_rows_than_were_seen_are_given_no_discount(rows: int) -> None:
    assert steady({4: 2.0}).upper_s(rows) == pytest.approx(2.0, rel=1e-3)


def test_more_rows_than_were_seen_take_as_many_times_longer() -> None:
    assert steady({4: 2.0}).upper_s(12) == pytest.approx(6.0, rel=1e-3)


def test_between_two_sizes_that_were_seen_lies_the_line_between_them() -> None:
    assert steady({4: 2.0, 8: 2.4}).upper_s(6) == pytest.approx(2.2, rel=1e-3)


def test_one_forward_that_was_held_up_does_not_rule_for_long() -> None:
    cost = steady({2: 1.0})
    cost.observe(2, 1000.0, 0.0)
    assert cost.upper_s(2) < 5.0
    for _ in range(SEEN):
        cost.observe(2, 1.0, 0.0)
    assert cost.upper_s(2) < 1.1


def test_first_forward_gives_way_to_a_faster_second() -> None:
    cost = StepCost(PRIOR_S)
    cost.observe(2, 10.0, 0.0)
    cost.observe(2, 1.0, 1.0)
    assert cost.upper_s(2) < 2.0


@pytest.mark.parametrize(
    ("times", "knee"),
    [
        ({1: 1.0, 2: 1.2, 4: 2.0, 8: 4.0}, 4),  # 0.5 a row from four on
        ({1: 1.0, 2: 2.0}, 1),
        ({1: 1.0, 2: 1.1, 4: 1.2}, None),  # larger ones may be better still
        ({4: 1.0, 6: 1.5}, None),  # one twice as large was not tried
    ],
)
def test_knee_is_the_smallest_size_beyond_which_nothing_is_gained(times: dict[int, float], knee: int | None) -> None:
    assert steady(times).knee() == knee


def test_size_is_not_judged_by_fewer_than_three_forwards() -> None:
    assert steady({1: 1.0, 2: 2.0}, forwards=2).knee() is None


def test_size_that_was_measured_long_ago_is_tried_anew() -> None:
    cost = steady({1: 1.0, 2: 2.0})
    cost.reconsider(now=10_000.0)
    assert cost.knee() is None


def test_batch_that_did_not_fit_is_halved_for_good() -> None:
    lane = LaneCosts(PRIOR_S, max_rows=16)
    lane.shrink(16)
    lane.shrink(12)  # one that was under way already
    assert lane.max_rows == 6
    for _ in range(5):
        lane.shrink(lane.max_rows)
    assert lane.max_rows == 1


def test_prior_of_decoding_follows_a_step_that_is_faster_than_thought() -> None:
    lane = LaneCosts(PRIOR_S, max_rows=16)
    before = lane.decode["full"].upper_s
    lane.observe_step(1, PRIOR_S / 100, 0.0)
    assert lane.decode["full"].upper_s < before / 10


def test_what_decoding_was_seen_to_take_is_not_replaced_by_a_prior() -> None:
    lane = LaneCosts(PRIOR_S, max_rows=16)
    lane.decode["full"].observe(3.0)
    lane.observe_step(1, PRIOR_S / 100, 0.0)
    assert lane.decode["full"].upper_s >= 3.0
