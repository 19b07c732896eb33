"""A ROM for a job: its files brought, its backend loaded and leased, as far as the job has the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from app.errors import Cancelled, DeadlineExceeded, ManifestError, NotReady, RomUnavailable
from app.invoker.jobs import Job
from app.logs import log_event
from app.roms.catalog import Rom
from app.roms.library import RomLibrary

if TYPE_CHECKING:
    from app.backends.base import Backend, LoadedModel, Upscaler
    from app.model_cache import ModelCache


RomState = Literal["resident", "parked", "on_disk", "pulling", "remote"]


class Supply:
    def __init__(self, library: RomLibrary, cache: ModelCache) -> None:
        self.library = library
        self.cache = cache

    def lease(self, rom: Rom, job: Job, deadline: float) -> AbstractContextManager[Backend]:
        """Hold the backend of a ROM that makes images, as `_lease` does."""
        return cast("AbstractContextManager[Backend]", self._lease(rom, job, deadline))

    def lease_upscaler(self, rom: Rom, job: Job, deadline: float) -> AbstractContextManager[Upscaler]:
        """Hold an upscaler, as `_lease` does."""
        return cast("AbstractContextManager[Upscaler]", self._lease(rom, job, deadline))

    def state_of(self, rom: Rom) -> RomState:
        """How far it is from being used."""
        if rom.id in self.cache.resident():
            return "resident"
        if rom.id in self.cache.parked():
            return "parked"
        if rom.id in self.library.pulling():
            return "pulling"
        return "remote" if self.library.missing_bytes(rom) else "on_disk"

    def expected_s(self, rom: Rom) -> float:
        """Until it is in memory, at most."""
        return self.library.expected_fetch_s(rom) + self.cache.expected_load_s(rom)

    @contextmanager
    def _lease(self, rom: Rom, job: Job, deadline: float) -> Iterator[LoadedModel]:
        """Hold what the ROM is in memory, brought and loaded first where need be. `deadline` is on the monotonic clock.

        Raises NotReady where that takes longer than there is time, at once where it is foreseen, and goes on with it
        for the next request; OutOfRomMemory where the ROM never fits; Cancelled; RomUnavailable where its files turn
        out to be broken, and it is then quarantined.
        """
        self.cache.footprint_of(rom)
        if deadline <= time.monotonic():
            raise DeadlineExceeded("no time was left when its turn came")
        if not self.cache.holds(rom.id):
            self._check_time(rom, deadline - time.monotonic())
            rom = self._fetch(rom, job, deadline)
        try:
            with self.cache.lease(rom, deadline - time.monotonic(), job.cancelled) as model:
                yield model
        except ManifestError as error:
            self.library.catalog.quarantine(rom.id, error.message)
            log_event("rom_quarantined", level="warning", rom=rom.id, reason=error.message)
            raise RomUnavailable(f"ROM {rom.id!r} is out of service: {error.message}", param="model") from error

    def _check_time(self, rom: Rom, timeout_s: float) -> None:
        expected_s = self.expected_s(rom)
        if expected_s > timeout_s:
            self.library.fetch(rom).add_done_callback(self._load_ahead)
            reason = f"ROM {rom.id!r} is being loaded, which takes {expected_s:.1f} s; {timeout_s:.1f} s are left"
            raise NotReady(reason, retry_after_s=expected_s)

    def _load_ahead(self, fetched: Future[Rom]) -> None:
        if not fetched.exception():
            self.cache.prefetch(fetched.result())

    def _fetch(self, rom: Rom, job: Job, deadline: float) -> Rom:
        fetched = self.library.fetch(rom)
        awaited: tuple[Future[Any], ...] = (fetched, job.cancelled)
        wait(awaited, deadline - time.monotonic(), FIRST_COMPLETED)
        if job.is_cancelled:
            raise Cancelled("cancelled before its ROM was there")
        if not fetched.done():
            raise NotReady(f"ROM {rom.id!r} is still on its way", retry_after_s=self.expected_s(rom))
        return fetched.result()
