"""How a ROM becomes a backend, and what it will take, as the settings say."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from app.errors import ManifestError
from app.health import HealthMonitor
from app.logs import log_event
from app.metrics import Metrics
from app.residency import Footprint
from app.roms.catalog import Rom
from app.roms.library import RomLibrary
from app.roms.memory import MemoryNeed, predict_need

if TYPE_CHECKING:
    from app.backends.base import LoadedModel
    from app.backends.options import LoadOptions
    from app.backends.pool import ComponentPool


class RomLoader:
    """Everything goes through one pool, so that ROMs share what is equal in them."""

    def __init__(
        self, library: RomLibrary, options: Callable[[], LoadOptions], metrics: Metrics, health: HealthMonitor
    ) -> None:
        self._library = library
        self._make_options = options  # called late: torch is imported while the service already listens
        self._metrics = metrics
        self._health = health
        self._needs: dict[str, tuple[Rom, MemoryNeed | None]] = {}

    def prepare(self) -> None:
        """Have everything at hand that loading the ROMs of the catalog takes."""
        from app.backends.registry import prepare

        prepare({rom.manifest.family for rom in self._library.catalog})

    def load(self, rom: Rom) -> LoadedModel:
        """Its files stay on disk as long as the backend lives. Raises ManifestError."""
        from app.backends.registry import load_rom

        self._health.report_progress(f"loading ROM {rom.id}")
        log_event("rom_loading", rom=rom.id, parameters=rom.num_parameters)
        started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self._library.hold(rom))
            self._library.verify(rom)
            backend = load_rom(rom, self._options, self._pool)
            weakref.finalize(backend, stack.pop_all().close)
        seconds = time.monotonic() - started
        self._metrics.observe_load(rom.id, seconds)
        log_event("rom_loaded", rom=rom.id, bytes=backend.info.nbytes, seconds=round(seconds, 3))
        return backend

    def footprint_of(self, rom: Rom) -> Footprint:
        from app.backends.registry import foretell_parts

        need = self.need_of(rom)
        return Footprint(foretell_parts(rom, self._options, self._pool), 0 if need is None else need.image_bytes)

    def need_of(self, rom: Rom) -> MemoryNeed | None:
        """None where its configs do not tell."""
        known = self._needs.get(rom.id)
        if known is None or known[0] is not rom:
            known = self._needs[rom.id] = (rom, self._predict(rom))
        return known[1]

    def _predict(self, rom: Rom) -> MemoryNeed | None:
        try:
            return predict_need(rom, self._itemsize)
        except ManifestError:  # it will be told of when the ROM is loaded
            return None

    @cached_property
    def _options(self) -> LoadOptions:
        return self._make_options()

    @cached_property
    def _pool(self) -> ComponentPool:
        from app.backends.pool import ComponentPool

        return ComponentPool()

    @cached_property
    def _itemsize(self) -> int:
        from app.backends.devices import pick_device, pick_dtype

        return pick_dtype(self._options.dtype, pick_device(self._options.device)).itemsize
