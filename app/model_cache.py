"""What is resident and who holds it: loaded ROMs within a budget of bytes, least recently used first out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from app.errors import Cancelled, CartridgeError, NotReady, OutOfRomMemory
from app.estimates import Estimate
from app.logs import log_event
from app.residency import Footprint, Line, Residency, Resident
from app.roms.catalog import Rom

if TYPE_CHECKING:
    from app.backends.base import LoadedModel

_BYTE_LOADING_PRIOR_S, _BYTE_RESUMING_PRIOR_S = 1e-9, 1e-10
_RETRY_AFTER_S = 5.0


class _Wait(NamedTuple):
    """How long somebody waits: until a time on the monotonic clock, or until the request is cancelled."""

    deadline: float
    cancelled: Future[None] | None


class ModelCache:
    """Leases loaded backends. A ROM that many ask for at once is loaded once; a leased one is never evicted.

    Whoever has waited `max_wait_s` for room goes before those who ask for what is resident, so that a ROM in constant
    use makes way for another, and between two that do not fit together requests are grouped and not alternated.
    A load that has begun goes on when its caller has gone: the next one finds it.
    """

    def __init__(
        self,
        load: Callable[[Rom], LoadedModel],
        footprint_of: Callable[[Rom], Footprint],
        capacity_bytes: int = 0,
        *,
        host_bytes: int = 0,  # of the second tier: where weights wait that had to leave the device
        max_wait_s: float = 5.0,
    ) -> None:
        self._load = load
        self._footprint_of = footprint_of
        self.capacity_bytes = capacity_bytes
        self._host_bytes = host_bytes
        self._short_of_room = Line(max_wait_s)
        self._byte_loading = Estimate(_BYTE_LOADING_PRIOR_S)
        self._byte_resuming = Estimate(_BYTE_RESUMING_PRIOR_S)
        self._residency = Residency()
        self._changed = threading.Condition()

    @contextmanager
    def lease(self, rom: Rom, timeout_s: float = 60.0, cancelled: Future[None] | None = None) -> Iterator[LoadedModel]:
        """Pin the ROM's backend while in use, loading it first where needed.

        Raises OutOfRomMemory when the ROM is larger than the whole budget, NotReady when `timeout_s` passes first,
        Cancelled when `cancelled` ends first, and whatever loading raises.
        """
        if cancelled is not None:
            cancelled.add_done_callback(self._wake)
        resident = self._acquire(rom, _Wait(time.monotonic() + timeout_s, cancelled))
        try:
            assert resident.backend is not None
            yield resident.backend
        finally:
            with self._changed:
                self._let_go(resident)

    def expected_load_s(self, rom: Rom) -> float:
        """What loading it seldom exceeds; 0 for a ROM that is resident or on its way."""
        with self._changed:
            resident = self._residency.residents.get(rom.id)
            if resident is not None and not resident.is_parked:
                return 0.0
            pace = self._byte_loading if resident is None else self._byte_resuming
            return pace.upper_s * self._residency.missing_bytes(self._footprint_of(rom))

    def footprint_of(self, rom: Rom) -> Footprint:
        """Raises OutOfRomMemory for a ROM that is larger than the whole budget."""
        footprint, budget = self._footprint_of(rom), self.capacity_bytes
        if footprint.nbytes > budget:
            raise OutOfRomMemory(f"ROM {rom.id!r} needs {footprint}, the budget is {budget}", param="model")
        return footprint

    def holds(self, rom_id: str) -> bool:
        """Whether it is in memory, or on its way there, and not about to go."""
        resident = self._residency.residents.get(rom_id)
        return resident is not None and not resident.is_leaving

    def has_room(self, rom: Rom) -> bool:
        """Whether it is there, or fits without another going. Raises OutOfRomMemory where it never does."""
        footprint = self.footprint_of(rom)
        with self._changed:
            return rom.id in self._residency.residents or self._residency.victims(footprint, self.capacity_bytes) == []

    def prefetch(self, rom: Rom) -> None:
        """Begin to load it where there is room, for those who ask again later."""
        with suppress(CartridgeError), self.lease(rom, timeout_s=0):
            pass

    def pin(self, rom: Rom) -> None:
        """Load it at once and keep it until it is unloaded.

        Raises OutOfRomMemory where those that cannot go leave no room, and whatever loading raises.
        """
        footprint = self.footprint_of(rom)
        with self._changed:
            is_there = rom.id in self._residency.residents
            if not is_there and self._residency.victims(footprint, self.capacity_bytes) is None:
                raise OutOfRomMemory(f"ROM {rom.id!r} needs {footprint}, what is in use leaves less", param="model")
        with self.lease(rom), self._changed:
            self._residency.residents[rom.id].is_pinned = True

    def unload(self, rom_id: str, timeout_s: float = 60.0) -> bool:
        """Let go of it, once those who use it have ended; its memory is back on return. Whether it was there.

        Raises NotReady when they do not end in time; it then stays.
        """
        with self._changed:
            resident = self._residency.residents.get(rom_id)
            if resident is None:
                return False
            resident.is_leaving = True
            if not self._changed.wait_for(lambda: resident.is_idle or resident.error is not None, timeout_s):
                resident.is_leaving = False
                raise NotReady(f"ROM {rom_id!r} is still in use", retry_after_s=_RETRY_AFTER_S)
            gone = self._take_out([rom_id] if self._residency.residents.get(rom_id) is resident else [])
        _unload(gone)
        return True

    def unload_idle(self, idle_s: float = 0.0) -> bool:
        """Drop everything that has been idle for so long and is not pinned; whether there was anything."""
        latest = time.monotonic() - idle_s
        with self._changed:
            idle = [name for name, one in self._residency.residents.items() if one.may_go and one.idle_since <= latest]
            gone = self._take_out(idle)
        _unload(gone)
        return bool(gone)

    def set_capacity(self, capacity_bytes: int, host_bytes: int = 0) -> None:
        """The budgets, once the device is known."""
        with self._changed:
            self.capacity_bytes, self._host_bytes = capacity_bytes, host_bytes
            self._changed.notify_all()

    def resident(self) -> list[str]:
        """Ids of the ROMs that can compute now, least recently used first."""
        with self._changed:
            return [rom_id for rom_id, one in self._residency if one.is_ready]

    def parked(self) -> list[str]:
        """Ids of those whose weights wait in the host's memory."""
        return [rom_id for rom_id, one in list(self._residency.residents.items()) if one.is_parked]

    def resident_bytes(self) -> int:
        """Of weights, each once however many ROMs share them."""
        with self._changed:
            return self._residency.weights_bytes()

    def shared_bytes(self, rom_id: str) -> int:
        """Of a resident ROM's weights, those that other residents have too."""
        with self._changed:
            return self._residency.shared_bytes(rom_id)

    def waiting_for_room(self) -> int:
        """Callers whose ROM does not fit beside those that are leased."""
        return len(self._short_of_room)

    def _acquire(self, rom: Rom, wait: _Wait) -> Resident:
        """A lease on the ROM, loaded."""
        footprint = self.footprint_of(rom)
        with self._changed:
            while True:
                resident, is_own_load = self._claim(rom, footprint, wait)
                try:
                    while not resident.is_ready and resident.error is None:
                        self._wait(rom, wait)
                except CartridgeError:
                    self._let_go(resident)
                    raise
                if resident.error is None:
                    return resident
                self._let_go(resident)
                if is_own_load:
                    raise resident.error

    def _claim(self, rom: Rom, footprint: Footprint, wait: _Wait) -> tuple[Resident, bool]:
        """A lease as soon as it is there or there is room for it, and whether its loading was begun for this."""
        place: float | None = None
        try:
            while True:
                resident = self._residency.residents.get(rom.id)
                if resident is not None and self._may_join(resident):
                    resident.leases += 1
                    self._residency.residents.move_to_end(rom.id)
                    return resident, False
                is_absent = resident is None or (resident.is_parked and not resident.is_leaving)
                victims = self._residency.victims(footprint, self.capacity_bytes) if is_absent else None
                if victims is not None:
                    return self._begin(rom, footprint, victims), True
                if is_absent and place is None:
                    place = self._short_of_room.join()
                elif not is_absent and place is not None:
                    self._leave(place)
                    place = None
                    continue  # its own place may have been all that kept it from joining
                self._wait(rom, wait)
        finally:
            if place is not None:
                self._leave(place)

    def _may_join(self, resident: Resident) -> bool:
        """It is loading, or ready and nobody has waited for room as long as anyone should."""
        is_here = not (resident.is_parked or resident.is_leaving)
        return is_here and not (resident.is_ready and self._short_of_room.has_someone_due())

    def _leave(self, place: float) -> None:
        self._short_of_room.leave(place)
        self._changed.notify_all()

    def _wait(self, rom: Rom, wait: _Wait) -> None:
        if wait.cancelled is not None and wait.cancelled.done():
            raise Cancelled("cancelled before its ROM was there")
        if not self._changed.wait(wait.deadline - time.monotonic()):
            raise NotReady(f"ROM {rom.id!r} could not be loaded in time", retry_after_s=_RETRY_AFTER_S)

    def _wake(self, _: Future[None]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _begin(self, rom: Rom, footprint: Footprint, victims: list[str]) -> Resident:
        """Take its room and start its loading, with a lease for the caller."""
        resident = self._residency.residents.setdefault(rom.id, Resident(footprint))
        resident.is_parked = False
        resident.leases += 1
        self._residency.residents.move_to_end(rom.id)
        gone = [backend for victim in victims for backend in self._evict(victim)]
        threading.Thread(target=self._fill, args=(rom, resident, gone), name=f"fill {rom.id}", daemon=True).start()
        return resident

    def _fill(self, rom: Rom, resident: Resident, gone: list[LoadedModel]) -> None:
        """Load, outside the lock. On failure the room is free again, and those who wait try for themselves."""
        started, backend = time.monotonic(), resident.backend
        pace = self._byte_loading if backend is None else self._byte_resuming
        try:
            _unload(gone)
            if backend is None:
                backend = self._load(rom)
            else:
                backend.resume()
        except BaseException as error:  # noqa: BLE001 - it belongs to those who wait
            with self._changed:
                resident.error = error
                del self._residency.residents[rom.id]
                self._changed.notify_all()
            return
        with self._changed:
            new_bytes = self._residency.missing_bytes(Footprint(backend.info.parts), besides=rom.id)
            pace.observe((time.monotonic() - started) / max(1, new_bytes))
            resident.footprint = Footprint(backend.info.parts, resident.footprint.reserve_bytes)
            resident.backend, resident.is_ready, resident.idle_since = backend, True, time.monotonic()
            self._changed.notify_all()

    def _let_go(self, resident: Resident) -> None:
        resident.leases -= 1
        resident.idle_since = time.monotonic()
        self._changed.notify_all()

    def _evict(self, rom_id: str) -> list[LoadedModel]:
        """To the host's memory where there is room, in place of those that wait there longest; or else altogether.

        Returns backends that are to be unloaded outside the lock.
        """
        resident = self._residency.residents[rom_id]
        dropped = self._residency.dropped_for(rom_id, self._host_bytes)
        if dropped is None or resident.backend is None:
            return self._take_out([rom_id])
        resident.backend.park()
        resident.is_parked, resident.is_ready = True, False
        return self._take_out(dropped)

    def _take_out(self, rom_ids: list[str]) -> list[LoadedModel]:
        for rom_id in rom_ids:
            log_event("rom_unloaded", rom=rom_id)
        backends = [self._residency.residents.pop(rom_id).backend for rom_id in rom_ids]
        self._changed.notify_all()
        return [backend for backend in backends if backend is not None]


def _unload(backends: list[LoadedModel]) -> None:
    for backend in backends:
        backend.unload()
