"""What is resident and who holds it: loaded ROMs within a budget of bytes, least recently used first out."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import CartridgeError, NotReady, OutOfRomMemory
from app.estimates import Estimate
from app.logs import log_event
from app.roms.catalog import Rom

if TYPE_CHECKING:
    from app.backends.base import Backend

_BYTE_LOADING_PRIOR_S = 1e-9


@dataclass(eq=False)
class _Entry:
    nbytes: int  # reserved from the moment loading starts
    backend: Backend | None = None  # None while loading
    leases: int = 0

    @property
    def is_idle(self) -> bool:
        return self.backend is not None and self.leases == 0


class ModelCache:
    """Leases loaded backends. A ROM that many ask for at once is loaded once; a leased one is never evicted.

    Whoever has waited `max_wait_s` for room goes before those who ask for what is resident, so that a ROM in constant
    use makes way for another, and between two that do not fit together requests are grouped and not alternated.
    """

    def __init__(
        self,
        load: Callable[[Rom], Backend],
        size_of: Callable[[Rom], int],
        capacity_bytes: int = 0,
        max_wait_s: float = 5.0,
    ) -> None:
        self._load = load
        self._size_of = size_of
        self.capacity_bytes = capacity_bytes
        self._max_wait_s = max_wait_s
        self._short_of_room: list[float] = []  # since when each waits, the longest first
        self._byte_loading = Estimate(_BYTE_LOADING_PRIOR_S)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # least recently used first
        self._changed = threading.Condition()

    @contextmanager
    def lease(self, rom: Rom, timeout_s: float = 60.0) -> Iterator[Backend]:
        """Pin the ROM's backend while in use, loading it first where needed.

        Raises OutOfRomMemory when the ROM is larger than the whole budget, NotReady when `timeout_s` passes first,
        and whatever loading raises.
        """
        entry = self._acquire(rom, time.monotonic() + timeout_s)
        try:
            if entry.backend is None:
                self._fill(rom, entry)
            assert entry.backend is not None
            yield entry.backend
        finally:
            with self._changed:
                entry.leases -= 1
                self._changed.notify_all()

    def expected_load_s(self, rom: Rom) -> float:
        """What loading it seldom exceeds; 0 for a ROM that is resident or on its way."""
        with self._changed:
            return 0.0 if rom.id in self._entries else self._byte_loading.upper_s * self._size_of(rom)

    def prefetch(self, rom: Rom) -> None:
        """Load it in the background, for those who ask again later."""
        threading.Thread(target=self._prefetch, args=(rom,), name=f"prefetch {rom.id}", daemon=True).start()

    def set_capacity(self, capacity_bytes: int) -> None:
        """The budget, once the device is known."""
        with self._changed:
            self.capacity_bytes = capacity_bytes
            self._changed.notify_all()

    def resident(self) -> list[str]:
        """Ids of the loaded ROMs, least recently used first."""
        with self._changed:
            return [rom_id for rom_id, entry in self._entries.items() if entry.backend is not None]

    def resident_bytes(self) -> int:
        with self._changed:
            return self._bytes()

    def waiting_for_room(self) -> int:
        """Callers whose ROM does not fit beside those that are leased."""
        with self._changed:
            return len(self._short_of_room)

    def unload_idle(self) -> bool:
        """Drop everything that is idle; whether there was anything."""
        with self._changed:
            idle = [rom_id for rom_id, entry in self._entries.items() if entry.is_idle]
            for rom_id in idle:
                self._evict(rom_id)
            self._changed.notify_all()
        return bool(idle)

    def _acquire(self, rom: Rom, deadline: float) -> _Entry:
        """A leased entry: loaded already, or new and for the caller to fill."""
        nbytes = self._size_of(rom)
        if nbytes > self.capacity_bytes:
            raise OutOfRomMemory(f"ROM {rom.id!r} needs {nbytes} bytes, the budget is {self.capacity_bytes}")
        with self._changed, ExitStack() as waiting:
            is_short = False
            while True:
                entry = self._entries.get(rom.id)
                if entry is not None:
                    waiting.close()
                if entry is not None and entry.backend is not None and not self._is_someone_due():
                    self._entries.move_to_end(rom.id)
                    entry.leases += 1
                    return entry
                if entry is None and self._make_room(nbytes):
                    entry = self._entries[rom.id] = _Entry(nbytes, leases=1)
                    return entry
                if entry is None and not is_short:
                    waiting.enter_context(self._waiting_for_room())
                is_short = entry is None
                if not self._changed.wait(deadline - time.monotonic()):
                    raise NotReady(f"ROM {rom.id!r} could not be loaded in time", retry_after_s=5)

    @contextmanager
    def _waiting_for_room(self) -> Iterator[None]:
        since = time.monotonic()
        self._short_of_room.append(since)
        try:
            yield
        finally:
            self._short_of_room.remove(since)
            self._changed.notify_all()

    def _is_someone_due(self) -> bool:
        """Whether somebody has waited for room as long as anyone should."""
        return bool(self._short_of_room) and time.monotonic() - self._short_of_room[0] >= self._max_wait_s

    def _fill(self, rom: Rom, entry: _Entry) -> None:
        """Load outside the lock. On failure the reservation goes, and those who wait try for themselves."""
        started = time.monotonic()
        try:
            backend = self._load(rom)
        except BaseException:
            with self._changed:
                del self._entries[rom.id]
                self._changed.notify_all()
            raise
        with self._changed:
            entry.backend, entry.nbytes = backend, backend.info.nbytes
            self._byte_loading.observe((time.monotonic() - started) / max(1, backend.info.nbytes))
            self._changed.notify_all()

    def _prefetch(self, rom: Rom) -> None:
        try:
            with self.lease(rom):
                pass
        except CartridgeError as error:
            log_event("prefetch_failed", rom=rom.id, reason=error.message)

    def _make_room(self, nbytes: int) -> bool:
        """Evict idle ROMs until `nbytes` fit. False, with nothing evicted, when they cannot."""
        needed = self._bytes() + nbytes - self.capacity_bytes
        victims: list[str] = []
        for rom_id, entry in self._entries.items():
            if needed <= 0:
                break
            if entry.is_idle:
                victims.append(rom_id)
                needed -= entry.nbytes
        if needed > 0:
            return False
        for rom_id in victims:
            self._evict(rom_id)
        return True

    def _evict(self, rom_id: str) -> None:
        entry = self._entries.pop(rom_id)
        if entry.backend is not None:
            entry.backend.unload()

    def _bytes(self) -> int:
        return sum(entry.nbytes for entry in self._entries.values())
