"""Which ROM answers: the likelihood of its domain against the time that it takes. Pure.

A ROM's score is `log(likelihood) + log(adeptness) - price * eta / time left`, in nats: what is gained by the right ROM,
less what its time is worth. Seen over 1 / time left each score is a straight line that falls the steeper the longer the
ROM takes, so that as deadlines tighten the choice moves to ROMs that take less time, and never back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_LIKELIHOOD = 1e-12
_TIE = 1e-9  # nats


@dataclass(frozen=True)
class Option:
    """One ROM that could answer."""

    rom_id: str
    domain: str
    likelihood: float  # 0..1: that the prompt is of its domain
    adeptness: float = 1.0  # 0..1: how often it draws right what is of its domain
    ready_s: float = 0.0  # until its files are here and it is in memory
    queue_s: float = 0.0  # until the device has done what was accepted before
    run_s: float = 0.0  # then
    obstacle: str = ""  # why it cannot answer this request, however much time there is

    @property
    def eta_s(self) -> float:
        return self.ready_s + self.queue_s + self.run_s

    @property
    def gain(self) -> float:
        """Nats."""
        return math.log(max(_LEAST_LIKELIHOOD, self.likelihood)) + math.log(max(_LEAST_LIKELIHOOD, self.adeptness))


@dataclass(frozen=True)
class Terms:
    """What a choice is made under."""

    time_left_s: float
    price: float  # nats for an answer that takes all the time that is left
    default: str | None = None  # the ROM for prompts that cannot be told
    is_certain: bool = True  # whether the domain can be told from the prompt
    temperature: float = 0.0  # above 0: drawn, with the odds of the scores over it
    seed: int | None = None  # of the draw


@dataclass(frozen=True)
class Weighed:
    """An option with what it costs."""

    option: Option
    cost: float  # nats
    obstacle: str  # empty: it can answer in time

    @property
    def score(self) -> float:
        """Nats."""
        return self.option.gain - self.cost

    @property
    def worth(self) -> float:
        """0..1: the likelihood and the adeptness, less what the time costs; 0 where it cannot answer."""
        return 0.0 if self.obstacle else math.exp(self.score)


@dataclass(frozen=True)
class Choice:
    rom_id: str
    why: str
    weighed: tuple[Weighed, ...]  # in the order of the options
    without_cost: str  # what it would have been, if time were no matter


def choose(options: Sequence[Option], terms: Terms) -> Choice:
    """One of the options; there must be some.

    Where none can answer in time it is the quickest, and where none can answer at all the most likely: who runs it says
    what is wrong.
    """
    weighed = tuple(_weigh(option, terms) for option in options)
    feasible = [one for one in weighed if not one.obstacle]
    able = [one for one in weighed if not one.option.obstacle]
    best = _best(able or weighed, gain_only=True).option.rom_id
    if not able:
        return Choice(best, "the most likely, though it cannot answer this", weighed, best)
    if not feasible:
        quickest = min(able, key=lambda one: one.option.eta_s).option.rom_id
        return Choice(quickest, "the quickest: none is expected to answer in time", weighed, best)
    if terms.temperature > 0:
        return Choice(_draw(feasible, terms), f"drawn at temperature {terms.temperature:g}", weighed, best)
    default = next((one for one in feasible if one.option.rom_id == terms.default), None)
    if not terms.is_certain and default is not None:
        return Choice(default.option.rom_id, "the default", weighed, best)
    chosen = _best(feasible)
    if default is not None and default.score > chosen.score - _TIE:
        chosen = default
    return Choice(chosen.option.rom_id, _why(chosen, weighed, best), weighed, best)


def _weigh(option: Option, terms: Terms) -> Weighed:
    cost = terms.price * option.eta_s / terms.time_left_s if terms.time_left_s > 0 else math.inf
    obstacle = option.obstacle
    if not obstacle and option.eta_s > terms.time_left_s:
        obstacle = f"takes {option.eta_s:.1f} s, and {max(0.0, terms.time_left_s):.1f} s are left"
    return Weighed(option, cost, obstacle)


def _best(weighed: Sequence[Weighed], *, gain_only: bool = False) -> Weighed:
    """The highest score; of equal ones the quickest, and of those the first."""
    top = max(one.option.gain if gain_only else one.score for one in weighed)
    tied = [one for one in weighed if (one.option.gain if gain_only else one.score) > top - _TIE]
    return min(tied, key=lambda one: one.option.eta_s)


def _draw(feasible: Sequence[Weighed], terms: Terms) -> str:
    top = max(one.score for one in feasible)
    odds = [math.exp((one.score - top) / terms.temperature) for one in feasible]
    return random.Random(terms.seed).choices([one.option.rom_id for one in feasible], odds)[0]


def _why(chosen: Weighed, weighed: Sequence[Weighed], best: str) -> str:
    if chosen.option.rom_id == best:
        return "the most adept"
    passed = next(one for one in weighed if one.option.rom_id == best)
    if passed.obstacle:
        return f"the most adept that can: {best!r} {passed.obstacle}"
    return f"quicker than {best!r}, which takes {passed.option.eta_s:.1f} s"
