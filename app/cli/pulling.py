"""ROMs of a bucket on their way to the disk, with a progress bar each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from app.errors import CartridgeError, StoreUnavailable, UnknownModel
from app.roms.catalog import Catalog, Rom
from app.roms.disk import RomDisk
from app.roms.library import RomLibrary
from app.roms.s3 import S3Store

_LOOK_EVERY_S = 0.2


class Pulling:
    """What a bucket has, and the cache directory that it goes to. Raises SettingsError where `source` is no bucket."""

    def __init__(self, source: str, cache_dir: Path) -> None:
        self._library = RomLibrary([S3Store.parse(source)], RomDisk(cache_dir))

    def __enter__(self) -> Pulling:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._library.close()

    def run(self, rom_ids: Sequence[str]) -> tuple[list[Rom], dict[str, str]]:
        """Bring these ROMs, or all; where they are, and why others are not here.

        Raises StoreUnavailable where the bucket cannot be read, UnknownModel where it has no such ROM.
        """
        catalog = self._survey()
        if unknown := [one for one in rom_ids if one not in {*catalog.roms, *catalog.quarantined}]:
            raise UnknownModel(f"there is no ROM {unknown[0]!r}; there are: {', '.join(sorted(catalog.roms))}")
        failed = {one: why for one, why in catalog.quarantined.items() if not rom_ids or one in rom_ids}
        wanted = [rom for rom in catalog if not rom_ids or rom.id in rom_ids]
        pulls = {rom.id: self._library.fetch(rom) for rom in wanted}
        self._show(pulls)
        pulled = []
        for rom_id, pull in pulls.items():
            try:
                pulled.append(pull.result())
            except CartridgeError as error:
                failed[rom_id] = error.message
        return pulled, failed

    def find(self, rom_id: str) -> Rom:
        """What is to be had as this ROM, its weights still in the bucket: the only one there, or that of this id.

        Raises StoreUnavailable, UnknownModel where there are others, RomUnavailable where it is broken.
        """
        catalog = self._survey()
        known = {*catalog.roms, *catalog.quarantined}
        chosen = rom_id if len(known) > 1 else next(iter(known))
        if chosen not in known:
            raise UnknownModel(f"there is no {rom_id!r} in it, and more than one other: {', '.join(sorted(known))}")
        return catalog.get(chosen)

    def bring(self, rom: Rom) -> Rom:
        """The ROM as it is on the disk. Raises CartridgeError where it cannot be brought."""
        pull = self._library.fetch(rom)
        self._show({rom.id: pull})
        return pull.result()

    def _survey(self) -> Catalog:
        self._library.read_buckets()
        for trouble in self._library.troubles().values():
            raise StoreUnavailable(trouble)
        catalog = self._library.catalog
        if not catalog.roms and not catalog.quarantined:
            raise StoreUnavailable("there is no ROM in it: neither rom.yaml nor model_index.json under any prefix")
        return catalog

    def _show(self, pulls: Mapping[str, Future[Rom]]) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bars = self._bars(progress)
            while wait(pulls.values(), timeout=_LOOK_EVERY_S).not_done:
                for rom_id, (done, _) in self._library.pulling().items():
                    progress.update(bars[rom_id], completed=done)
            for rom_id, bar in bars.items():
                if pulls[rom_id].exception() is None:
                    progress.update(bar, completed=next(task.total for task in progress.tasks if task.id == bar))

    def _bars(self, progress: Progress) -> dict[str, TaskID]:
        pulling = self._library.pulling().items()
        return {rom_id: progress.add_task(rom_id, total=total, completed=done) for rom_id, (done, total) in pulling}
