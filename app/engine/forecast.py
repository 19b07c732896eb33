"""When will each request be done? The batcher's policy, played forward over what is left to do.

Pure: the same demands and costs give the same answer. It errs on the late side: costs are upper ones, and the steps
that a lane is granted out of turn are charged to the others without being counted for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    is_encoded: bool

    @property
    def row_cost(self) -> int:
        return self.rows // self.images

    @property
    def decode_s(self) -> float:
        return self.lane.decode.upper_s * self.images

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


class _Waiting:
    """A demand on its way."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.done = 0
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
    forwards: int
    seconds: float


def forecast(demands: Sequence[Demand], now: float, max_wait_ticks: int) -> dict[Demand, Outcome]:
    """Play the requests to their ends: earliest deadline first, as many of its lane with it as a batch holds."""
    waiting = [_Waiting(demand) for demand in sorted(demands, key=lambda demand: demand.deadline)]
    time = now + sum(2 * demand.lane.encode.upper_s for demand in demands if not demand.is_encoded)
    others = _others(waiting)
    time += sum(_turns_s(others)) + _grant(others, 1.0)  # each lane may have waited long enough to go at once
    outcomes: dict[Demand, Outcome] = {}
    for one in [one for one in waiting if not one.left]:  # about to be decoded
        time += one.charge()
        outcomes[one.demand] = Outcome(0, time)
        waiting.remove(one)
    while waiting:
        batch, others = _pack(waiting), _others(waiting)
        turns_s = _turns_s(others)
        share = 1 / max(1, max_wait_ticks + 1 - len(turns_s))  # of a lane's turns, for each forward of the batch
        step_s = batch.seconds + batch.forwards * share * sum(turns_s)
        steps = min(_steps_until(_leave_by(waiting) - time, step_s), *(one.left for one in batch.members))
        time += steps * step_s + _grant(others, steps * batch.forwards * share) + _grant(batch.part, steps)
        for one in batch.members:
            one.done += steps
        for one in [one for one in waiting if not one.left] or waiting[:1]:
            time += one.charge()
            outcomes[one.demand] = Outcome(one.done, time)
            waiting.remove(one)
    return outcomes


def _pack(waiting: Sequence[_Waiting]) -> _Batch:
    """The most urgent one, and those of its lane that fit beside it."""
    first = waiting[0].demand
    lane, room = first.lane, first.lane.max_rows - first.rows
    if room < 0:
        return _in_parts(waiting[0], [one for one in waiting[1:] if one.demand.lane is lane])
    members, part, rows = [waiting[0]], [], first.rows
    for one in waiting[1:]:
        if one.demand.lane is not lane:
            continue
        images = min(one.demand.images, room // one.demand.row_cost)
        room -= images * one.demand.row_cost
        rows += images * one.demand.row_cost
        if images:
            (members if images == one.demand.images else part).append(one)
    return _Batch(members, part, 1, lane.step.upper_s(rows))


def _in_parts(one: _Waiting, beside: list[_Waiting]) -> _Batch:
    """One that has more images than a forward holds; its last forward has room for others."""
    demand, step = one.demand, one.demand.lane.step
    at_once = max(1, demand.lane.max_rows // demand.row_cost)
    whole, rest = divmod(demand.images, at_once)
    seconds = whole * step.upper_s(at_once * demand.row_cost)
    seconds += step.upper_s(rest * demand.row_cost) if rest else 0.0
    return _Batch([one], beside, whole + (rest > 0), seconds)


def _others(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Those of all lanes but the most urgent one."""
    return [one for one in waiting if one.demand.lane is not waiting[0].demand.lane]


def _turns_s(others: Sequence[_Waiting]) -> list[float]:
    """One forward of each of their lanes."""
    rows: dict[LaneCosts, int] = {}
    for one in others:
        lane = one.demand.lane
        rows[lane] = min(rows.get(lane, 0) + one.demand.rows, max(lane.max_rows, one.demand.row_cost))
    return [lane.step.upper_s(count) for lane, count in rows.items()]


def _grant(others: Sequence[_Waiting], steps: float) -> float:
    """Let them go on out of turn; the time to decode those that may be done by that."""
    seconds = 0.0
    for one in others:
        one.granted += steps
        seconds += one.charge() if one.done + one.granted >= one.demand.steps else 0.0
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
