"""Durations that are learned, the numbers of TCP's round-trip timer, and rates."""

from __future__ import annotations

import pytest

from app.estimates import Estimate, RecentRate


def observed(*seconds: float, prior_s: float = 1.0) -> Estimate:
    estimate = Estimate(prior_s)
    for one in seconds:
        estimate.observe(one)
    return estimate


def test_prior_counts_until_something_is_observed() -> None:
    assert (observed().mean_s, observed().upper_s) == (1.0, 1.5)


def test_first_observation_takes_the_place_of_the_prior() -> None:
    assert (observed(8.0).mean_s, observed(8.0).upper_s) == (8.0, 12.0)


def test_second_that_is_shorter_takes_the_place_of_the_first() -> None:
    assert observed(80.0, 4.0).mean_s == 4.0
    assert observed(4.0, 8.0).mean_s == 4.5


def test_mean_and_deviation_follow_what_is_observed() -> None:
    """After 4 and 8: mean 4 + 4/8, deviation 1 + (4 - 1)/4. After 5 more: error 0.5."""
    estimate = observed(4.0, 8.0, 5.0)
    assert estimate.mean_s == pytest.approx(4.5 + 0.5 / 8)
    assert estimate.upper_s - estimate.mean_s == pytest.approx(2 * (1.75 + (0.5 - 1.75) / 4))


def test_constant_durations_leave_no_doubt() -> None:
    assert observed(*[3.0] * 100).upper_s == pytest.approx(3.0)


def test_one_that_was_held_up_does_not_rule_for_long() -> None:
    assert observed(*[1.0] * 20, 300.0).upper_s < 3.0


def test_lasting_change_is_learned() -> None:
    assert observed(*[1.0] * 20, *[10.0] * 60).mean_s == pytest.approx(10.0, rel=0.05)


def test_supposing_changes_a_prior_and_no_measurement() -> None:
    estimate = Estimate(9.0)
    estimate.suppose(2.0)
    assert estimate.mean_s == 2.0
    estimate.observe(4.0)
    estimate.suppose(1.0)
    assert estimate.mean_s == 4.0


def test_rate_is_of_the_latest_whole_seconds_and_falls_to_nothing() -> None:
    now = 100.0
    rate = RecentRate(window_s=4, clock=lambda: now)
    seen = []
    for amount in (8, 8, 0, 16, 0, 0, 0, 0, 0):
        for _ in range(2):
            rate.add(amount / 2)
        now += 1.0
        seen.append(rate.per_second())
    assert seen == [2, 4, 4, 8, 6, 4, 4, 0, 0]
