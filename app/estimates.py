"""Durations and rates that are learned as they happen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_GAIN_OF_MEAN, _GAIN_OF_DEVIATION = 1 / 8, 1 / 4
_DEVIATIONS = 2.0  # that `upper_s` lies above the mean
_SURPRISE = 4.0  # means: a longer duration counts as this, so that one held up by something else does not rule for long


class Estimate:
    """Running mean and mean deviation of a duration (Jacobson 1988: how TCP times its round trips)."""

    def __init__(self, prior_s: float) -> None:
        self._mean_s = prior_s
        self._deviation_s = prior_s / 4
        self.observations = 0

    def suppose(self, prior_s: float) -> None:
        """Another prior, as long as nothing was observed."""
        if not self.observations:
            self._mean_s, self._deviation_s = prior_s, prior_s / 4

    def observe(self, seconds: float) -> None:
        """Learn one duration. The first takes the place of the prior; a second that is shorter that of the first,
        which then held what happens only once."""
        self.observations += 1
        if self.observations == 1 or (self.observations == 2 and seconds < self._mean_s):
            self._mean_s, self._deviation_s = seconds, seconds / 4
            return
        counted = min(seconds, _SURPRISE * self._mean_s) if self._mean_s else seconds
        error = counted - self._mean_s
        self._mean_s += _GAIN_OF_MEAN * error
        self._deviation_s += _GAIN_OF_DEVIATION * (abs(error) - self._deviation_s)

    @property
    def mean_s(self) -> float:
        return self._mean_s

    @property
    def upper_s(self) -> float:
        """What the duration seldom exceeds."""
        return self._mean_s + _DEVIATIONS * self._deviation_s


class RecentRate:
    """How much a second, over the latest whole seconds. Many threads may add."""

    def __init__(self, window_s: int = 10, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds: deque[tuple[int, float]] = deque(maxlen=window_s + 1)  # which second, and its sum
        self._window_s = window_s
        self._clock = clock
        self._adding = threading.Lock()

    def add(self, amount: float) -> None:
        with self._adding:
            now = int(self._clock())
            before = self._seconds.pop()[1] if self._seconds and self._seconds[-1][0] == now else 0.0
            self._seconds.append((now, before + amount))

    def per_second(self) -> float:
        with self._adding:
            now = int(self._clock())
            return (
                sum(amount for second, amount in self._seconds if 0 < now - second <= self._window_s) / self._window_s
            )
