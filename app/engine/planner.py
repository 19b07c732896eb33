"""Who is accepted: nobody who would break a promise made to another, and nobody whose own cannot be kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.engine.forecast import Demand, Outcome, forecast
from app.errors import Fitting, Overloaded

_SHORTER = (1.0, 0.75, 0.5, 0.25)  # of the steps that seem to fit, tried in this order
_SMALLEST_RETRY_S = 0.1
_ROUNDING_S = 1e-9


@dataclass(frozen=True)
class Plan:
    """What was foreseen for a request when it was accepted."""

    promised_steps: int  # done by its deadline, whoever comes later
    finish: float  # seconds, on the engine's clock
    position: int  # accepted requests that are due before it


@dataclass(frozen=True)
class Smaller:
    """A candidate at another size."""

    demand: Demand
    width: int  # pixels
    height: int  # pixels


Promises = Mapping[Demand, int]  # steps still owed to each accepted request


class Planner:
    def __init__(self, max_wait_ticks: int) -> None:
        self._max_wait_ticks = max_wait_ticks

    def plan(
        self, candidate: Demand, needed_steps: int, promises: Promises, now: float, smaller: Iterable[Smaller] = ()
    ) -> Plan:
        """The plan under which `candidate` is accepted. Raises Overloaded, which names one of `smaller` if it fits."""
        if plan := self._find(candidate, needed_steps, promises, now):
            return plan
        if not promises and candidate.is_worth_a_try(needed_steps, now):
            return Plan(0, candidate.deadline, 0)  # what is not known can only be learned
        raise self._refusal(candidate, needed_steps, promises, now, smaller)

    def _find(self, candidate: Demand, needed_steps: int, promises: Promises, now: float) -> Plan | None:
        outcomes = forecast([*promises, candidate], now, self._max_wait_ticks)
        if not _is_kept(candidate, needed_steps, outcomes[candidate]) or self._breaks(outcomes, promises, now):
            return None
        position = sum(demand.deadline <= candidate.deadline for demand in promises)
        return Plan(outcomes[candidate].steps, outcomes[candidate].finish, position)

    def _refusal(
        self, candidate: Demand, needed_steps: int, promises: Promises, now: float, smaller: Iterable[Smaller]
    ) -> Overloaded:
        """The answer to a candidate without a plan: what would fit now, and when all of it would."""
        unhurried = replace(candidate, deadline=math.inf)
        finish = forecast([*promises, unhurried], now, self._max_wait_ticks)[unhurried].finish
        fits = self._fitting(candidate, promises, now, smaller)
        detail = f"would take {finish - now:.1f} s, and {candidate.deadline - now:.1f} s are left"
        detail += f"; {fits} would fit now" if fits else ""
        if self._find(candidate, needed_steps, {}, now) is None and not candidate.is_worth_a_try(needed_steps, now):
            return Overloaded(f"{detail}; an idle service would not make it either", param="timeout_s", fits=fits)
        retry_after_s = max(_SMALLEST_RETRY_S, finish - candidate.deadline)
        return Overloaded(detail, param="timeout_s", retry_after_s=retry_after_s, fits=fits)

    def _breaks(self, outcomes: Mapping[Demand, Outcome], promises: Promises, now: float) -> bool:
        """Whether the newcomer of these outcomes leaves someone late, or with less than was promised."""
        broken = {demand: owed for demand, owed in promises.items() if not _is_kept(demand, owed, outcomes[demand])}
        if not broken:
            return False
        without = forecast([*promises], now, self._max_wait_ticks)
        return any(
            outcomes[demand].steps < min(owed, without[demand].steps)
            or (_is_late(demand, outcomes[demand]) and not _is_late(demand, without[demand]))
            for demand, owed in broken.items()
        )

    def _fitting(self, candidate: Demand, promises: Promises, now: float, smaller: Iterable[Smaller]) -> Fitting | None:
        """Fewer steps at the size that was asked, or else all steps at a smaller one."""
        if fitting := candidate.inference_steps(self._fitting_steps(candidate, promises, now)):
            return Fitting(fitting)
        for size in smaller:
            if self._find(size.demand, size.demand.steps, promises, now):
                return Fitting(candidate.inference_steps(candidate.steps), size.width, size.height)
        return None

    def _fitting_steps(self, candidate: Demand, promises: Promises, now: float) -> int:
        """As many steps as could be promised in full, or 0."""
        most = forecast([*promises, candidate], now, self._max_wait_ticks)[candidate].steps
        for share in _SHORTER:
            steps = int(most * share)
            if steps and self._find(replace(candidate, steps=steps), steps, promises, now):
                return steps
        return 0


def _is_kept(demand: Demand, owed: int, outcome: Outcome) -> bool:
    return outcome.steps >= owed and not _is_late(demand, outcome)


def _is_late(demand: Demand, outcome: Outcome) -> bool:
    return outcome.finish > demand.deadline + _ROUNDING_S
