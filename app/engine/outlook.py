"""What a request that is not here yet has to expect of the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.engine.costs import Pace
from app.engine.forecast import Demand, forecast


@dataclass(frozen=True)
class Outlook:
    queue_s: float  # until all that was accepted is done
    paces: Mapping[str, Pace]  # of the ROMs that have run


def backlog_s(demands: Sequence[Demand], free_at: float, now: float, max_wait_ticks: int) -> float:
    """Seconds from now until the last of these is done, on a device that is free at `free_at`."""
    if not demands:
        return 0.0
    outcomes = forecast(demands, max(free_at, now), max_wait_ticks)
    return max(outcome.finish for outcome in outcomes.values()) - now
