"""The door: who may come in, and how many are inside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.core import Health
from app.errors import NotReady, Overloaded
from app.health import HealthMonitor
from app.metrics import Metrics

_RETRY_AFTER_S = 5.0


class Admission:
    """Refuses at once when the service is not ready or the queue is full; counts who is inside."""

    def __init__(self, max_queue_size: int, health: HealthMonitor, metrics: Metrics) -> None:
        self._max_queue_size = max_queue_size  # requests accepted and not yet answered
        self._health = health
        self._metrics = metrics
        self._inside = 0
        self._changed = threading.Condition()

    def require_ready(self) -> None:
        """Raises NotReady."""
        health, reason = self._health.read()
        if health is not Health.READY:
            raise NotReady(reason, retry_after_s=_RETRY_AFTER_S)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place while a request is served. Raises NotReady or Overloaded."""
        self.require_ready()
        with self._changed:
            if self._inside >= self._max_queue_size:
                raise Overloaded(
                    f"{self._inside} requests are waiting, which is the limit", retry_after_s=_RETRY_AFTER_S
                )
            self._count(+1)
        try:
            yield
        finally:
            with self._changed:
                self._count(-1)
                self._changed.notify_all()

    def wait_until_empty(self, timeout_s: float) -> bool:
        """True when everyone has left within `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._inside == 0, timeout_s)

    def _count(self, change: int) -> None:
        self._inside += change
        self._metrics.queue_depth.set(self._inside)
