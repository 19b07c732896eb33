"""A guard against noise: what other processes do on our cores while something is measured, read from /proc (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

QUIET_CORES = 0.1  # more than this of one core, used by others, spoils a sample
_BEFORE_S = 0.5  # how long we look before a sample
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # columns of a core in /proc/stat; what follows is counted in the first two
_PARENT, _OWN_TIMES = 1, slice(11, 15)  # columns of /proc/<pid>/stat after the name: children that ended are in it

T = TypeVar("T")


@dataclass(frozen=True)
class Measured(Generic[T]):
    """A value, and the cores that others used while it was measured or just before."""

    value: T
    others: float

    @property
    def is_quiet(self) -> bool:
        return self.others <= QUIET_CORES


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds since the start of the machine, on the cores that we may use."""

    at_s: float
    all_s: float
    ours_s: float  # this process and its descendants

    @classmethod
    def now(cls) -> CpuTimes:
        return cls(time.monotonic(), _busy_ticks() / _TICKS_PER_S, _own_ticks() / _TICKS_PER_S)

    def others_since(self, before: CpuTimes) -> float:
        """Cores that other processes, and other machines on the same host, used on average."""
        others_s = (self.all_s - before.all_s) - (self.ours_s - before.ours_s)
        return max(0.0, others_s / (self.at_s - before.at_s))


def measure_quietly(measure: Callable[[], T], attempts: int) -> Measured[T]:
    """Measure again while others disturb it, `attempts` times at most; the quietest."""
    best = _measure(measure)
    for _ in range(attempts - 1):
        if best.is_quiet:
            break
        best = min(best, _measure(measure), key=lambda measured: measured.others)
    return best


def _measure(measure: Callable[[], T]) -> Measured[T]:
    looked = CpuTimes.now()
    time.sleep(_BEFORE_S)
    started = CpuTimes.now()
    value = measure()
    return Measured(value, max(started.others_since(looked), CpuTimes.now().others_since(started)))


def _busy_ticks() -> int:
    """Of all cores that we may use, time stolen by the host included."""
    ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    lines = [line.split() for line in (_PROC / "stat").read_text().splitlines()]
    ticks = [[int(field) for field in fields] for name, *fields in lines if name in ours]
    return sum(sum(core[: _STEAL + 1]) - core[_IDLE] - core[_IOWAIT] for core in ticks)


def _own_ticks() -> int:
    """Of this process and its descendants, those that ended and were waited for included."""
    parents, ticks = {}, {}
    for directory in _PROC.glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(directory.name)] = int(fields[_PARENT])
        ticks[int(directory.name)] = sum(int(field) for field in fields[_OWN_TIMES])
    family = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
        family |= grown
    return sum(ticks.get(pid, 0) for pid in family)
