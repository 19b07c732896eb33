"""What a ModelCache loads through, written down, with doors that a test opens."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.errors import ManifestError
from app.model_cache import ModelCache
from app.residency import Footprint
from app.roms.catalog import Rom
from app.roms.library import RomLibrary

PATIENCE_S = 120.0  # only a test that fails, or a machine that starves it, waits this long


def library_of(*roms: Rom) -> RomLibrary:
    """These ROMs, all of them on disk."""
    library = RomLibrary()
    library.catalog.roms = {rom.id: rom for rom in roms}
    return library


def footprint_of(rom: Rom) -> Footprint:
    """A component is as large as it has parameters; those of one outline are one in memory."""
    return Footprint({component.outline: component.num_parameters for component in rom.components})


class WatchedBackend(FakeBackend):
    """Tells its loader when it is unloaded, parked and resumed."""

    def __init__(self, rom_id: str, parts: Mapping[str, int], loader: Loader) -> None:
        super().__init__()
        self.info = replace(self.info, parts=parts)
        self._rom_id = rom_id
        self._loader = loader

    def park(self) -> None:
        self._loader.parks.append(self._rom_id)

    def resume(self) -> None:
        self._loader.resumes.append(self._rom_id)

    def unload(self) -> None:
        self._loader.unloads.append(self._rom_id)


class Loader:
    def __init__(self) -> None:
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.parks: list[str] = []
        self.resumes: list[str] = []
        self.failures: dict[str, int] = {}  # ROM id to how many loads are to fail
        self.asked = threading.Semaphore(0)  # released when a lease is asked for
        self.entered = threading.Event()  # a load has begun
        self.gate = threading.Event()  # closed with `close_gate`: loads stop half-way
        self.gate.set()

    def load(self, rom: Rom) -> Backend:
        self.loads.append(rom.id)
        self.entered.set()
        assert self.gate.wait(PATIENCE_S), "the test never opened the gate"
        if self.failures.get(rom.id, 0) > 0:
            self.failures[rom.id] -= 1
            raise ManifestError(f"{rom.id} is damaged")
        return WatchedBackend(rom.id, footprint_of(rom).parts, self)

    def footprint_of(self, rom: Rom) -> Footprint:
        self.asked.release()
        return footprint_of(rom)

    def close_gate(self) -> None:
        self.gate.clear()
        self.entered.clear()

    def cache(self, capacity_bytes: int, max_wait_s: float = PATIENCE_S, host_bytes: int = 0) -> ModelCache:
        return ModelCache(self.load, self.footprint_of, capacity_bytes, host_bytes=host_bytes, max_wait_s=max_wait_s)
