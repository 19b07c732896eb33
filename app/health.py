"""The state that `/ping` reads: a value behind a lock, and how long the engine has stood still; never the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

from app.core import Health
from app.logs import log_event


class HealthMonitor:
    """Moves forward: STARTING to READY or SETUP_FAILED, that to READY, READY to DEVICE_FAILED, and all to DRAINING.

    READY reads as STALLED while the watched engine has had work and no progress for `stall_after_s`.
    """

    def __init__(self, stall_after_s: float = 120.0) -> None:
        self._lock = threading.Lock()
        self._health = Health.STARTING
        self._reason = "the service is starting"
        self._stall_after_s = stall_after_s
        self._stalled_s: Callable[[], float] = float
        self._is_stalled = False  # as was last told

    def read(self) -> tuple[Health, str]:
        """The state and the reason for it."""
        with self._lock:
            health, reason = self._health, self._reason
            stalled_s = self._stalled_s() if health is Health.READY else 0.0
            is_stalled = stalled_s > self._stall_after_s
            is_news, self._is_stalled = is_stalled is not self._is_stalled, is_stalled
        if is_news and is_stalled:
            log_event("engine_stalled", level="warning", seconds=round(stalled_s, 1))
        elif is_news:
            log_event("engine_resumed")
        if is_stalled:
            return Health.STALLED, f"the engine has made no progress for {stalled_s:.0f} s"
        return health, reason

    def watch(self, stalled_s: Callable[[], float]) -> None:
        """Let `stalled_s` tell how long there was work and no progress, in seconds. It must not wait."""
        self._stalled_s = stalled_s

    def report_progress(self, reason: str) -> None:
        """Say what STARTING waits for; of no effect in other states."""
        with self._lock:
            if self._health is Health.STARTING:
                self._reason = reason

    def become(self, health: Health, reason: str) -> bool:
        """Whether that is news."""
        with self._lock:
            moves = (health is Health.DRAINING or (self._health, health) in _MOVES) and self._reason != reason
            if moves:
                self._health, self._reason = health, reason
            return moves

    def lose_device(self, reason: str) -> None:
        """The device, or the engine itself, will not recover in this process."""
        if self.become(Health.DEVICE_FAILED, reason):
            log_event("device_failed", level="error", reason=reason)


_MOVES = {
    (Health.STARTING, Health.READY),
    (Health.STARTING, Health.SETUP_FAILED),
    (Health.SETUP_FAILED, Health.SETUP_FAILED),  # for another reason
    (Health.SETUP_FAILED, Health.READY),  # what was broken has been mended
    (Health.STARTING, Health.DEVICE_FAILED),
    (Health.READY, Health.DEVICE_FAILED),
}
