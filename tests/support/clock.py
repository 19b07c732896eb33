"""A clock that moves when a test says so."""

from __future__ import annotations

import math
from collections.abc import Callable


class FakeClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now  # seconds
        self._alarms: list[tuple[float, Callable[[], None]]] = []  # the earliest first

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass; what was planned for meanwhile happens, each at its own moment."""
        until = self.now + seconds
        while self._alarms and self._alarms[0][0] <= until:
            at, action = self._alarms.pop(0)
            self.now = max(self.now, at)
            action()
        self.now = until

    def next_alarm(self) -> float:
        """When something is planned for; infinity when nothing is."""
        return self._alarms[0][0] if self._alarms else math.inf

    def call_at(self, at: float, action: Callable[[], None]) -> None:
        self._alarms.append((at, action))
        self._alarms.sort(key=lambda alarm: alarm[0])
