"""Who wants what runs for them to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stops:
    """Of all who look at the page, by their session."""

    def __init__(self) -> None:
        self._running: dict[str, set[threading.Event]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def listening(self, session: str) -> Iterator[threading.Event]:
        """What is set when the session wants a stop while this runs."""
        stopped = threading.Event()
        with self._lock:
            self._running.setdefault(session, set()).add(stopped)
        try:
            yield stopped
        finally:
            with self._lock:
                self._running[session].remove(stopped)
                if not self._running[session]:
                    del self._running[session]

    def stop(self, session: str) -> None:
        with self._lock:
            for stopped in self._running.get(session, ()):
                stopped.set()
