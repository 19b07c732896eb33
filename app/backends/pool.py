"""Parts of models that several ROMs have: one in memory for all, from the first that asks to the last that goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from app.backends.identities import Identities


class Part(Protocol):
    """Weights in memory, and what computes with them. Whoever shares one changes nothing of it."""

    nbytes: int

    def park(self) -> None:
        """Leave the device for the host's memory."""

    def resume(self) -> None:
        """Come back."""


P = TypeVar("P", bound=Part)


@dataclass(eq=False)
class _Entry:
    made: Future[Part] = field(default_factory=Future)
    holders: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the two that follow
    in_use: int = 0  # of the holders: those that are not parked
    is_parked: bool = False
    warming: threading.Lock = field(default_factory=threading.Lock)
    warmth: float | None = None  # what its first run gave

    def use(self) -> None:
        with self.lock:
            self.in_use += 1
            if self.is_parked:
                self.made.result().resume()
                self.is_parked = False

    def rest(self) -> None:
        with self.lock:
            self.in_use -= 1
            if self.in_use == 0:
                self.made.result().park()
                self.is_parked = True


class ComponentPool:
    """One of a process. Threads may load through it at the same time: equal parts are made once."""

    def __init__(self) -> None:
        self.identities = Identities()
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def take(self, key: str, make: Callable[[], Part]) -> _Entry:
        with self._lock:
            entry = self._entries.get(key)
            is_new = entry is None
            if entry is None:
                entry = self._entries[key] = _Entry()
            entry.holders += 1
        if is_new:
            try:
                entry.made.set_result(make())
            except BaseException as error:
                with self._lock:
                    del self._entries[key]
                entry.made.set_exception(error)
                raise
        entry.made.result()
        entry.use()
        return entry

    def give_back(self, key: str, entry: _Entry, *, is_parked: bool) -> None:
        with self._lock:
            entry.holders -= 1
            if not entry.holders:
                del self._entries[key]
                return
        if not is_parked:
            entry.rest()


class Holding:
    """The parts of one ROM. All of them go at once."""

    def __init__(self, pool: ComponentPool) -> None:
        self._pool = pool
        self._entries: dict[str, _Entry] = {}
        self._is_parked = False

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes by key."""
        return {key: entry.made.result().nbytes for key, entry in self._entries.items()}

    def take(self, key: str, make: Callable[[], P]) -> P:
        """The part of this key; made where nobody has it. Raises what making it raises."""
        if key not in self._entries:
            self._entries[key] = self._pool.take(key, make)
        return cast(P, self._entries[key].made.result())

    def warm_up(self, key: str, run: Callable[[], float]) -> float:
        """What the first run with a part gave. It is run by the first that holds it; others wait."""
        entry = self._entries[key]
        with entry.warming:
            if entry.warmth is None:
                entry.warmth = run()
            return entry.warmth

    def park(self) -> None:
        """Those that no other ROM uses leave the device."""
        if not self._is_parked:
            self._is_parked = True
            for entry in self._entries.values():
                entry.rest()

    def resume(self) -> None:
        if self._is_parked:
            for entry in self._entries.values():
                entry.use()
            self._is_parked = False

    def release(self) -> None:
        """What nobody else holds is gone."""
        entries, self._entries = self._entries, {}
        for key, entry in entries.items():
            self._pool.give_back(key, entry, is_parked=self._is_parked)
