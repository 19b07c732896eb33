"""When will each request be done? The batcher's policy, played forward over what is left to do.

Pure: the same demands and costs give the same answer. It errs on the late side: costs are upper ones, and the steps
that a lane is granted out of turn are charged to the others without being counted for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from app.engine.costs import LaneCosts

_ROUNDING_S = 1e-9
_KNOWN_FOR_S = 30.0


@dataclass(frozen=True, eq=False)
class Demand:
    """What one request still wants of the device."""

    lane: LaneCosts
    rows: int  # of a forward; a guided image takes two
    images: int
    steps: int  # left
    deadline: float  # seconds, on the engine's clock
    encode_s: float = 0.0  # before its first step, at most
    strength: float = 1.0  # share of the inference steps that is taken
    stages: int = 1  # steps that an inference step takes
    extra_steps: int = 0  # beyond those
    ahead: int = 0  # images that have taken the coming step already
    decode_s: float = 0.0  # after its last step, at most

    @property
    def row_cost(self) -> int:
        return self.rows // self.images

    def inference_steps(self, steps: int) -> int:
        """How many to ask for, so that no more than `steps` are taken; 0 when even one would take more."""
        return int(max(0, steps - self.extra_steps) // self.stages / self.strength)

    def is_worth_a_try(self, needed_steps: int, now: float) -> bool:
        """Whether the lane was never measured; or not lately, while at its fastest it would make it."""
        step = self.lane.step
        if not step.is_measured:
            return True
        if now - step.measured_at < _KNOWN_FOR_S:
            return False
        return now + needed_steps * self.rows * step.fastest_row_s + self.decode_s <= self.deadline


@dataclass(frozen=True)
class Outcome:
    """What becomes of a demand."""

    steps: int  # done when it leaves, at the latest at its deadline
    finish: float  # with its images decoded, seconds on the engine's clock


class _Lane:
    """A lane's costs, read once."""

    def __init__(self, costs: LaneCosts) -> None:
        self.max_rows = costs.max_rows
        self.forward_s = cache(costs.step.upper_s)  # over the rows of a forward


class _Waiting:
    """A demand on its way."""

    def __init__(self, demand: Demand, lane: _Lane) -> None:
        self.demand = demand
        self.lane = lane
        self.done = 0
        self.ahead = demand.ahead
        self.granted = 0.0  # steps that it may have taken out of turn
        self.decode_s = demand.decode_s  # 0 once it was charged

    @property
    def left(self) -> int:
        return self.demand.steps - self.done

    def charge(self) -> float:
        """The time of its decoding, once."""
        seconds, self.decode_s = self.decode_s, 0.0
        return seconds


@dataclass(frozen=True)
class _Batch:
    """The demands that take a step together, and the forwards that this takes."""

    members: list[_Waiting]
    part: list[_Waiting]  # some of its images have room
    forwards: float
    seconds: float
    extra_s: float = 0.0  # that the first step takes longer


def forecast(demands: Sequence[Demand], now: float, max_wait_ticks: int) -> dict[Demand, Outcome]:
    """Play the requests to their ends: earliest deadline first, as many of its lane with it as a batch holds."""
    waiting = _line_up(demands)
    outcomes: dict[Demand, Outcome] = {}
    time = now + sum(demand.encode_s for demand in demands)
    overdue = 1.0  # turns of each other lane: it may have waited long enough to go at once
    leaving = [one for one in waiting if not one.left]
    while True:
        for one in leaving:
            time += one.charge()
            outcomes[one.demand] = Outcome(one.done, time)
            waiting.remove(one)
        if not waiting:
            return outcomes
        batch, others = _pack(waiting), _others(waiting)
        turns_s = _turns_s(others)
        share = 1 / max(1, max_wait_ticks + 1 - len(turns_s))  # of another lane's turns, for each forward of the batch
        step_s = batch.seconds + batch.forwards * share * sum(turns_s)
        extra_s = batch.extra_s + overdue * sum(turns_s)
        until = _leave_by(waiting) - time - extra_s
        if steps := min(_steps_until(until, step_s), *(one.left for one in batch.members)):
            forwards = steps * batch.forwards
            time += extra_s + steps * step_s
            time += _grant(others, overdue + forwards * share) + _grant(batch.part, forwards)
            overdue = 0.0
        for one in batch.members:
            one.done += steps
        leaving = [one for one in batch.members if not one.left] or waiting[:1]


def _line_up(demands: Sequence[Demand]) -> list[_Waiting]:
    """Earliest deadline first."""
    lanes = {demand.lane: _Lane(demand.lane) for demand in demands}
    return [_Waiting(demand, lanes[demand.lane]) for demand in sorted(demands, key=lambda demand: demand.deadline)]


def _pack(waiting: Sequence[_Waiting]) -> _Batch:
    """The most urgent one, and those of its lane that fit beside it."""
    first = waiting[0]
    beside = [one for one in waiting[1:] if one.lane is first.lane]
    room = first.lane.max_rows - first.demand.rows
    if room < 0:
        return _in_parts(first, beside)
    members, part = [first], list[_Waiting]()
    for one in beside:
        images = min(one.demand.images, room // one.demand.row_cost)
        room -= images * one.demand.row_cost
        if images:
            (members if images == one.demand.images else part).append(one)
    return _Batch(members, part, 1, first.lane.forward_s(first.lane.max_rows - room))


def _in_parts(one: _Waiting, beside: list[_Waiting]) -> _Batch:
    """One that has more images than a forward holds: those that are behind go first, and others where room is left."""
    cost, max_rows = one.demand.row_cost, one.lane.max_rows
    at_once = max(1, max_rows // cost)
    forward_s = one.lane.forward_s(max(max_rows, cost) if beside else at_once * cost)
    forwards = one.demand.images / at_once
    incomplete = (at_once - 1 - one.ahead) / at_once  # the last forward, less what was done of the coming step
    one.ahead = 0
    return _Batch([one], beside, forwards, forwards * forward_s, incomplete * forward_s)


def _others(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Those of all lanes but the most urgent one."""
    return [one for one in waiting if one.lane is not waiting[0].lane]


def _turns_s(others: Sequence[_Waiting]) -> list[float]:
    """One forward of each of their lanes."""
    rows: dict[_Lane, int] = {}
    for one in others:
        before = rows.get(one.lane, 0)
        rows[one.lane] = max(before, min(before + one.demand.rows, max(one.lane.max_rows, one.demand.row_cost)))
    return [lane.forward_s(count) for lane, count in rows.items()]


def _grant(others: Sequence[_Waiting], steps: float) -> float:
    """Let them go on out of turn; the time to decode those that may be done by that."""
    seconds = 0.0
    for one in others:
        one.granted += steps
        if one.decode_s and one.done + one.granted >= one.demand.steps:
            seconds += one.charge()
    return seconds


def _leave_by(waiting: Sequence[_Waiting]) -> float:
    """When the last step must have ended that leaves the time to decode all, each before its deadline."""
    decode_s, leave_by = 0.0, math.inf
    for one in waiting:
        decode_s += one.decode_s
        leave_by = min(leave_by, one.demand.deadline - decode_s)
    return leave_by


def _steps_until(seconds: float, step_s: float) -> int:
    """Whole steps in that time."""
    if seconds < -_ROUNDING_S:
        return 0
    if step_s == 0 or seconds == math.inf:
        return 10**9
    return int((seconds + _ROUNDING_S) // step_s)
