"""When each request will be done, by hand."""

from __future__ import annotations

import math

import pytest

from app.engine.forecast import Demand, forecast
from tests.support.demands import make_demand, make_lane

NOW = 100.0
MAX_WAIT_TICKS = 8


def foresee(*demands: Demand) -> list[tuple[int, float]]:
    """Steps and seconds from now, of each."""
    outcomes = forecast(demands, NOW, MAX_WAIT_TICKS)
    return [(outcomes[demand].steps, round(outcomes[demand].finish - NOW, 6)) for demand in demands]


def test_nothing_asked_gives_nothing() -> None:
    assert forecast([], NOW, MAX_WAIT_TICKS) == {}


def test_request_alone_takes_its_steps_and_its_decoding() -> None:
    lane = make_lane({1: 2.0}, decode_s=1.0)
    assert foresee(make_demand(lane, 4)) == [(4, 4 * 2 + 1)]


def test_each_image_is_decoded() -> None:
    lane = make_lane({3: 2.0}, decode_s=1.0)
    assert foresee(make_demand(lane, 4, rows=3, images=3)) == [(4, 4 * 2 + 3)]


def test_request_that_is_not_encoded_takes_that_time_first() -> None:
    assert foresee(make_demand(make_lane({1: 2.0}), 4, encode_s=1.0)) == [(4, 1 + 4 * 2)]


def test_encoding_of_a_newcomer_holds_up_those_before_it() -> None:
    lane = make_lane({1: 1.0}, max_rows=1)
    running, newcomer = make_demand(lane, 3, deadline=NOW + 50), make_demand(lane, 2, encode_s=1.0)
    assert foresee(running, newcomer) == [(3, 1 + 3), (2, 1 + 3 + 2)]


def test_two_share_a_batch_until_the_shorter_is_done() -> None:
    lane = make_lane({1: 1.0, 2: 1.5}, decode_s=1.0)
    assert foresee(make_demand(lane, 4), make_demand(lane, 6)) == [(4, 4 * 1.5 + 1), (6, 4 * 1.5 + 1 + 2 * 1 + 1)]


def test_two_that_do_not_fit_together_go_one_after_the_other() -> None:
    lane = make_lane({1: 1.0}, max_rows=1, decode_s=1.0)
    assert foresee(make_demand(lane, 2), make_demand(lane, 3)) == [(2, 3), (3, 3 + 4)]


def test_more_images_than_a_batch_holds_take_several_forwards_a_step() -> None:
    lane = make_lane({1: 1.0, 2: 1.5}, max_rows=2)
    assert foresee(make_demand(lane, 2, rows=4, images=4)) == [(2, 2 * 2 * 1.5 + 1.5 / 2)]


def test_images_that_do_not_fill_their_forwards_share_them_between_two_steps() -> None:
    """Six row-steps in three forwards; and half a forward, for it may be that the last one is not full."""
    lane = make_lane({1: 1.0, 2: 1.5}, max_rows=2)
    assert foresee(make_demand(lane, 2, rows=3, images=3)) == [(2, 3 * 1.5 + 1.5 / 2)]


def test_guided_image_is_not_divided_between_two_forwards() -> None:
    lane = make_lane({2: 1.5, 3: 2.0}, max_rows=3)
    assert foresee(make_demand(lane, 2, rows=4, images=2)) == [(2, 2 * (1.5 + 1.5))]


def test_images_that_are_ahead_save_their_forwards() -> None:
    lane = make_lane({1: 1.0}, max_rows=1)
    assert foresee(make_demand(lane, 2, rows=3, images=3, ahead=2)) == [(2, 1 + 3)]


def test_request_of_which_only_a_part_fits_takes_the_room_of_those_behind_it() -> None:
    lane = make_lane({1: 1.0, 2: 1.5}, max_rows=2)
    demands = make_demand(lane, 2), make_demand(lane, 2, rows=2, images=2), make_demand(lane, 2)
    assert foresee(*demands) == [(2, 2 * 1.5), (2, 4 * 1.5), (2, 4 * 1.5 + 2 * 1.0)]


def test_earliest_deadline_goes_first() -> None:
    lane = make_lane({1: 1.0}, max_rows=1)
    later, sooner = make_demand(lane, 2, deadline=NOW + 50), make_demand(lane, 3, deadline=NOW + 40)
    assert foresee(later, sooner) == [(2, 3 + 2), (3, 3)]


def test_request_leaves_with_the_steps_that_its_deadline_allows() -> None:
    lane = make_lane({1: 1.0}, decode_s=2.0)
    assert foresee(make_demand(lane, 10, deadline=NOW + 7.5)) == [(5, 5 + 2)]


def test_request_whose_time_is_up_has_no_steps() -> None:
    lane = make_lane({1: 1.0}, decode_s=2.0)
    assert foresee(make_demand(lane, 10, deadline=NOW + 1)) == [(0, 2)]


def test_time_to_decode_those_due_before_is_kept_free() -> None:
    """Both could go on to 8; but then the second would be decoded by 12."""
    lane = make_lane({1: 1.0, 2: 1.0}, decode_s=2.0)
    first, second = (make_demand(lane, 20, deadline=NOW + due) for due in (10.0, 10.5))
    assert foresee(first, second) == [(6, 8), (6, 10)]


def test_decoding_of_another_that_is_done_sooner_comes_off_the_time_left() -> None:
    lane = make_lane({1: 1.0, 2: 1.0}, decode_s=3.0)
    urgent, short = make_demand(lane, 20, deadline=NOW + 10), make_demand(lane, 2, deadline=NOW + 50)
    assert foresee(urgent, short) == [(4, 2 + 3 + 2 + 3), (2, 5)]


def test_request_that_only_waits_to_be_decoded_goes_before_all_others() -> None:
    lane = make_lane({1: 1.0}, decode_s=3.0)
    urgent, done = make_demand(lane, 2, deadline=NOW + 10), make_demand(lane, 0, deadline=NOW + 50)
    assert foresee(urgent, done) == [(2, 3 + 2 + 3), (0, 3)]


def test_other_lane_may_be_granted_a_turn_at_once_and_one_in_nine_from_then_on() -> None:
    urgent = make_demand(make_lane({1: 1.0}), 8, deadline=NOW + 50)
    patient = make_demand(make_lane({1: 2.0}), 5, deadline=NOW + 60)
    assert foresee(urgent, patient) == [(8, 8 * 1.0 + (1 + 8 / 8) * 2.0), (5, 12 + 5 * 2.0)]


def test_as_many_lanes_as_ticks_to_wait_go_in_turn() -> None:
    """Each of nine lanes has one tick in nine: a step of the most urgent is one of all others too."""
    urgent = make_demand(make_lane({1: 1.0}), 10, deadline=NOW + 500)
    patient = [make_demand(make_lane({1: 1.0}), 100) for _ in range(8)]
    assert foresee(urgent, *patient)[0] == (10, 10 * 1.0 + (1 + 10) * 8 * 1.0)


def test_decoding_that_a_granted_turn_leads_to_is_charged() -> None:
    urgent = make_demand(make_lane({1: 1.0}), 4, deadline=NOW + 50)
    nearly_done = make_demand(make_lane({1: 1.0}, decode_s=5.0), 1, deadline=NOW + 60)
    assert foresee(urgent, nearly_done)[0] == (4, 4 + (1 + 4 / 8) * 1.0 + 5)


def test_request_without_a_deadline_is_behind_all_others_and_whole() -> None:
    lane = make_lane({1: 1.0}, max_rows=1)
    unhurried, due = make_demand(lane, 50, deadline=math.inf), make_demand(lane, 5, deadline=NOW + 10)
    assert foresee(unhurried, due) == [(50, 5 + 50), (5, 5)]


@pytest.mark.parametrize("deadline", [NOW + 1, math.inf])
def test_what_takes_no_time_is_done_now(deadline: float) -> None:
    lane = make_lane({1: 0.0})
    assert foresee(make_demand(lane, 50, deadline=deadline)) == [(50, 0)]
