"""The state that `/ping` reads: a value behind a lock, never the engine."""

from __future__ import annotations

import threading

from app.core import Health


class HealthMonitor:
    """Moves forward only: STARTING to READY or SETUP_FAILED, and anything to DRAINING."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._health = Health.STARTING
        self._reason = "the service is starting"

    def read(self) -> tuple[Health, str]:
        """The state and the reason for it."""
        with self._lock:
            return self._health, self._reason

    def report_progress(self, reason: str) -> None:
        """Say what STARTING waits for; of no effect in other states."""
        with self._lock:
            if self._health is Health.STARTING:
                self._reason = reason

    def become(self, health: Health, reason: str) -> None:
        with self._lock:
            if self._health is Health.STARTING or health is Health.DRAINING:
                self._health, self._reason = health, reason
