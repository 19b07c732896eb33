"""The start-up hook: what is wanted is brought and loaded while the service already listens, and `/ping` is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from app.core import Health
from app.errors import CartridgeError, DiskUnavailable, ManifestError, StoreUnavailable
from app.health import HealthMonitor
from app.logs import log_event
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from app.roms.library import RomLibrary

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 600.0
_LOOKS_IN_A_TTL = 4


@dataclass(frozen=True)
class Wishes:
    """CARTRIDGE_PRELOAD, CARTRIDGE_READY and CARTRIDGE_PIN."""

    preload: tuple[str, ...] | Literal["all", "none"]
    ready: tuple[str, ...] | Literal["all", "any"]
    pin: tuple[str, ...] = ()
    is_multi_model: bool = False  # the platform says later which models there are


class Startup:
    """Brings all that is wanted at once, and loads each ROM when it is there, as long as memory has room.

    A broken one does not stop the others: it is tried again, after pauses that double.
    """

    def __init__(
        self,
        library: RomLibrary,
        cache: ModelCache,
        health: HealthMonitor,
        wishes: Wishes,
        prepare: Callable[[], None],  # called when it is known which ROMs there are
    ) -> None:
        self._library = library
        self._prepare = prepare
        self._cache = cache
        self._health = health
        self._wishes = wishes
        self._failed: dict[str, CartridgeError] = {}  # wanted ROMs that are not broken, and yet could not be brought
        self._done: set[str] = set()  # wanted ROMs that are loaded, or on disk where memory has no room for more
        self._loading = threading.Lock()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Returns when everything that is wanted has been tried once."""
        self._library.read_buckets()
        self._prepare()
        self._bring(list(self._library.catalog))
        self._tell(is_over=True)

    def keep(self, idle_ttl_s: float) -> None:
        """As long as the service runs, unload what has been idle for so long and try again what is broken."""
        if idle_ttl_s:
            threading.Thread(target=self._unload_idle, args=(idle_ttl_s,), name="idle", daemon=True).start()
        self._mend_until_stopped()

    def _unload_idle(self, idle_ttl_s: float) -> None:
        while not self._stopped.wait(idle_ttl_s / _LOOKS_IN_A_TTL):
            if self._cache.unload_idle(idle_ttl_s):
                log_event("idle_unloaded", resident=self._cache.resident())

    def _mend_until_stopped(self) -> None:
        pause_s, known = _FIRST_PAUSE_S, set[str]()
        while not self._stopped.wait(pause_s):
            broken = {*self._library.catalog.quarantined, *self._library.troubles(), *self._may_come()}
            if broken:
                self._try_to_mend()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S) if broken and broken <= known else _FIRST_PAUSE_S
            known = broken

    def _try_to_mend(self) -> None:
        try:
            self._mend()
        except Exception as error:  # noqa: BLE001 - the next time may go better
            log_event("mending_failed", error=error)

    def _mend(self) -> None:
        before = set(self._library.catalog.roms)
        sound = self._library.read_again()
        for rom in sound:
            if self._bring_one(rom):
                self._library.release(rom)
        again = self._may_come() - {rom.id for rom in sound}
        self._bring([rom for rom in self._library.catalog if rom.id not in before or rom.id in again])
        self._tell(is_over=True)

    def stop(self) -> None:
        self._stopped.set()

    def _bring(self, roms: list[Rom]) -> None:
        wanted = [rom for rom in roms if self._is_wanted(rom.id)]
        with ThreadPoolExecutor(max(1, len(wanted)), thread_name_prefix="start-up") as workers:
            list(workers.map(self._bring_one, wanted))

    def _bring_one(self, rom: Rom) -> bool:
        """On disk and, where there is room, in memory; whether that went well."""
        try:
            fetched = self._library.fetch(rom).result()
            with self._loading:
                self._load(fetched)
        except ManifestError as error:
            self._library.catalog.quarantine(rom.id, error.message)
            log_event("rom_quarantined", level="warning", rom=rom.id, reason=error.message)
            return False
        except CartridgeError as error:
            self._failed[rom.id] = error
            log_event("preload_failed", level="warning", rom=rom.id, reason=error.message)
            return False
        except Exception as error:  # noqa: BLE001 - one ROM never stops the others
            self._library.catalog.quarantine(rom.id, f"an internal error: {error!r}")
            log_event("preload_failed", rom=rom.id, error=error)
            return False
        self._failed.pop(rom.id, None)
        self._tell(is_over=False)
        return True

    def _may_come(self) -> set[str]:
        """Those whose bucket could not be read, or whose disk was full."""
        return {
            rom_id for rom_id, error in self._failed.items() if isinstance(error, StoreUnavailable | DiskUnavailable)
        }

    def _load(self, rom: Rom) -> None:
        if rom.is_instrument:
            pass  # who uses it loads it
        elif rom.id in self._wishes.pin:
            self._cache.pin(rom)
        elif self._cache.has_room(rom):
            with self._cache.lease(rom):
                pass
        else:
            log_event("preload_stopped", rom=rom.id, reason="the memory budget is full")
        self._done.add(rom.id)

    def _is_wanted(self, rom_id: str) -> bool:
        preload = self._wishes.preload
        return preload == "all" or rom_id in self._wishes.pin or (preload != "none" and rom_id in preload)

    def _tell(self, *, is_over: bool) -> None:
        """READY when the policy is satisfied; SETUP_FAILED where it is not and everything has been tried."""
        missing = self._missing()
        if not missing:
            if self._health.become(Health.READY, "ready"):
                log_event("ready", roms=sorted(self._cache.resident()))
        elif is_over:
            catalog, troubles = self._library.catalog, self._library.troubles()
            failed = {rom_id: error.message for rom_id, error in self._failed.items()}
            broken = failed | catalog.quarantined
            told = [*troubles.values(), *(f"{rom_id}: {reason}" for rom_id, reason in broken.items())]
            if not told and not catalog.roms:
                told = ["none of the sources has a ROM"]
            reasons = "; ".join(told)
            if self._health.become(Health.SETUP_FAILED, f"not loaded: {', '.join(sorted(missing))} {reasons}".strip()):
                log_event("setup_failed", level="warning", reason=reasons, missing=sorted(missing))

    def _missing(self) -> Collection[str]:
        """What `/ping` still waits for."""
        catalog, resident = self._library.catalog, set(self._cache.resident())
        ready = self._wishes.ready
        if ready == "any" and self._wishes.is_multi_model:
            return ()
        if ready == "any":
            return () if resident or (self._wishes.preload == "none" and catalog.roms) else ("any ROM",)
        if ready == "all":
            wanted = {rom_id for rom_id in catalog.roms if self._is_wanted(rom_id)}
            return {*(wanted - self._done), *catalog.quarantined, *self._library.troubles()}
        of_use_on_disk = {rom.id for rom in catalog if rom.is_instrument} & self._done
        return set(ready) - resident - of_use_on_disk
