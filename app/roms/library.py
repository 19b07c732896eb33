"""Which ROMs the sources have, what of them is on disk, and the work of bringing the rest here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from app.errors import CartridgeError, DiskUnavailable, RomUnavailable, StoreUnavailable
from app.estimates import Estimate
from app.logs import log_event
from app.roms.catalog import Catalog, Rom, lay_over_bases, read_rom
from app.roms.disk import RomDisk
from app.roms.manifest import slug
from app.roms.s3 import RemoteRom, S3Store
from app.roms.store import FileStore
from app.roms.verification import VerifiedFiles

_BYTE_PULLING_PRIOR_S = 1e-8
_TELLING_BYTES = 1024 * 1024  # the time of fewer is mostly overhead
_PULLS = 4  # ROMs at a time; each has many connections
_SURVEYS = 8
_LOG_EVERY_S = 5.0


@dataclass
class _Shelf:
    """What one source has."""

    store: FileStore | S3Store
    roms: dict[str, Rom] = field(default_factory=dict)
    remotes: dict[str, RemoteRom] = field(default_factory=dict)  # by ROM id, of a bucket
    broken: dict[str, str] = field(default_factory=dict)  # id -> why
    trouble: str | None = None  # why the source cannot be read


@dataclass
class Pull:
    """One ROM on its way to the disk."""

    total_bytes: int
    done_bytes: int = 0
    future: Future[Rom] = field(default_factory=Future)  # the ROM as it is on disk


class RomLibrary:
    """Fills `catalog`: with ROMs of `file://` sources at once, with those of buckets when they have been read.

    Without buckets there is no need of a `disk`.
    """

    def __init__(self, stores: Sequence[FileStore | S3Store] = (), disk: RomDisk | None = None) -> None:
        self.catalog = Catalog()
        self._disk = disk
        self._shelves = [_Shelf(store) for store in stores]
        self._remotes: dict[str, RemoteRom] = {}  # by ROM id, of those in the catalog
        self._pulls: dict[str, Pull] = {}  # by ROM id, those that run
        self._verified = VerifiedFiles()
        self._byte_pulling = Estimate(_BYTE_PULLING_PRIOR_S)
        self._workers = ThreadPoolExecutor(_PULLS, thread_name_prefix="pull")
        self._lock = threading.Lock()
        self._read([shelf for shelf in self._shelves if isinstance(shelf.store, FileStore)])

    @property
    def has_buckets(self) -> bool:
        return any(isinstance(shelf.store, S3Store) for shelf in self._shelves)

    def read_buckets(self) -> None:
        """List them and look at what they have, all at once; what was known of one that cannot be listed stays."""
        self._read([shelf for shelf in self._shelves if isinstance(shelf.store, S3Store)])

    def read_again(self) -> list[Rom]:
        """Look again at what is broken, and at sources that could not be read, whose ROMs are then in the catalog.

        A ROM that serves stays as it is, also where its bucket has another revision by now, or has it no more. Returns
        the quarantined ROMs whose files seem sound now. They stay where they are until they are `release`d.
        """
        kept_out = dict(self.catalog.quarantined)
        shelves = [shelf for shelf in self._shelves if shelf.trouble or kept_out.keys() & {*shelf.roms, *shelf.broken}]
        return self._read(shelves, kept_out, anew=kept_out)

    def release(self, rom: Rom) -> None:
        """It serves again."""
        self.catalog.release(rom)
        log_event("rom_released", rom=rom.id)

    def troubles(self) -> dict[str, str]:
        """Why sources cannot be read, by their address."""
        return {shelf.store.source: shelf.trouble for shelf in self._shelves if shelf.trouble}

    def fetch(self, rom: Rom) -> Future[Rom]:
        """Ends when all of it is on disk, with the ROM as it is there: a newer one where its bucket has changed.

        Raises StoreUnavailable or DiskUnavailable where it may go well another time, RomUnavailable where the ROM is
        broken; it is then quarantined.
        """
        with self._lock:
            running = self._pulls.get(rom.id)
            if running is not None:
                return running.future
            pull = Pull(self.missing_bytes(rom))
            if all(self._on_disk.is_whole(one) for one in self._with_base(rom)):
                pull.future.set_result(rom)
            else:
                self._pulls[rom.id] = pull
                self._workers.submit(self._pull, rom, pull)
            return pull.future

    def missing_bytes(self, rom: Rom) -> int:
        """What of it, and of its base, is not on disk."""
        if (pull := self._pulls.get(rom.id)) is not None:
            return max(1, pull.total_bytes - pull.done_bytes)
        return sum(self._on_disk.remaining_bytes(self._remotes[one.id]) for one in self._with_base(rom))

    def expected_fetch_s(self, rom: Rom) -> float:
        """What bringing the rest of it seldom exceeds."""
        return self._byte_pulling.upper_s * self.missing_bytes(rom)

    def pulling(self) -> dict[str, tuple[int, int]]:
        """ROMs on their way: bytes that are here, and bytes in all."""
        return {rom_id: (pull.done_bytes, pull.total_bytes) for rom_id, pull in list(self._pulls.items())}

    def verify(self, rom: Rom) -> None:
        """Compare the files of `file://` sources with their digests, once as they are; those from buckets have been.

        Raises ManifestError naming one that differs.
        """
        for one in filter(None, (rom, rom.base)):
            if one.id not in self._remotes:
                self._verified.check(one.directory, one.manifest.files)

    def hold(self, rom: Rom) -> AbstractContextManager[object]:
        """Within it, the ROM's files stay on disk."""
        held = ExitStack()
        for one in self._with_base(rom):
            held.enter_context(self._on_disk.hold(one))
        return held

    def close(self) -> None:
        """Break off what is being pulled; it goes on from there the next time."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        if self._disk is not None:
            self._disk.close()

    @property
    def _on_disk(self) -> RomDisk:
        assert self._disk is not None, "a bucket needs a disk"
        return self._disk

    def _with_base(self, rom: Rom) -> list[Rom]:
        """The ROMs of buckets that it needs the files of."""
        return [one for one in (rom, rom.base) if one is not None and one.id in self._remotes]

    def _pull(self, rom: Rom, pull: Pull) -> None:
        started = time.monotonic()
        log_event("rom_pulling", rom=rom.id, bytes=pull.total_bytes)
        try:
            for one in self._with_base(rom):
                self._bring(one, pull)
            result = rom if rom.id in self.catalog.quarantined else self.catalog.get(rom.id)
        except (StoreUnavailable, DiskUnavailable) as error:
            log_event("pull_failed", level="warning", rom=rom.id, reason=error.message)
            self._pulls.pop(rom.id)
            pull.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            reason = error.message if isinstance(error, CartridgeError) else repr(error)
            self.catalog.quarantine(rom.id, reason)
            log_event("rom_quarantined", level="warning", rom=rom.id, reason=reason)
            self._pulls.pop(rom.id)
            pull.future.set_exception(RomUnavailable(f"ROM {rom.id!r} is out of service: {reason}", param="model"))
        else:
            seconds = time.monotonic() - started
            if pull.total_bytes >= _TELLING_BYTES:
                self._byte_pulling.observe(seconds / pull.total_bytes)
            log_event("rom_pulled", rom=rom.id, bytes=pull.total_bytes, seconds=round(seconds, 3))
            self._pulls.pop(rom.id)
            pull.future.set_result(result)

    def _bring(self, rom: Rom, pull: Pull) -> None:
        """All of one prefix, telling how far it is."""
        remote, told = self._remotes[rom.id], time.monotonic()
        before, missing = pull.done_bytes, self._on_disk.remaining_bytes(self._remotes[rom.id])

        def on_progress(done: int, total: int) -> None:
            nonlocal told
            pull.done_bytes = before + max(0, missing - (total - done))
            if (now := time.monotonic()) - told >= _LOG_EVERY_S:
                told = now
                log_event("rom_pulling", rom=rom.id, bytes=pull.total_bytes, done=pull.done_bytes)

        pulled = self._on_disk.pull(remote, on_progress)
        if pulled.directory != rom.directory:  # its bucket has changed since it was read
            self._read([shelf for shelf in self._shelves if shelf.remotes.get(rom.id) is remote], anew=(rom.id,))

    def _read(
        self, shelves: list[_Shelf], kept_out: Mapping[str, str] = MappingProxyType({}), anew: Collection[str] = ()
    ) -> list[Rom]:
        """Look at these sources, and make the catalog of all: the first source that has an id wins.

        ROMs that are known stay as they are, but for those to be taken `anew`. Returns sound ROMs that are `kept_out`
        of the catalog, for these reasons.
        """
        with ThreadPoolExecutor(len(shelves) or 1, thread_name_prefix="read source") as readers:
            list(readers.map(partial(self._read_shelf, anew=anew), shelves))
        found = Catalog()
        remotes: dict[str, RemoteRom] = {}
        for shelf in self._shelves:
            remotes |= {rom_id: remote for rom_id, remote in shelf.remotes.items() if rom_id not in found.roms}
            found.roms |= {rom_id: rom for rom_id, rom in shelf.roms.items() if rom_id not in found.roms}
            found.quarantined = shelf.broken | found.quarantined
        found.quarantined = {rom_id: why for rom_id, why in found.quarantined.items() if rom_id not in found.roms}
        lay_over_bases(found)
        sound = [found.roms[rom_id] for rom_id in kept_out if rom_id in found.roms]
        for rom in sound:
            found.quarantine(rom.id, kept_out[rom.id])
        for rom_id in found.quarantined.keys() - self.catalog.quarantined.keys():
            log_event("rom_quarantined", level="warning", rom=rom_id, reason=found.quarantined[rom_id])
        self._remotes = remotes
        self.catalog.replace(found)
        return sound

    def _read_shelf(self, shelf: _Shelf, anew: Collection[str]) -> None:
        known = {rom_id: rom for rom_id, rom in shelf.roms.items() if rom_id not in anew}
        remotes = {rom_id: remote for rom_id, remote in shelf.remotes.items() if rom_id in known}
        self._look_at(shelf)
        shelf.roms |= known
        shelf.remotes = {rom_id: remote for rom_id, remote in shelf.remotes.items() if rom_id not in known} | remotes

    def _look_at(self, shelf: _Shelf) -> None:
        store = shelf.store
        if isinstance(store, FileStore):
            readings = [(_name(path), partial(read_rom, path)) for path in store.directories()]
            shelf.roms, _, shelf.broken = _judge(readings)
            shelf.broken |= {slug(name): reason for name, reason in store.broken.items()}
            return
        try:
            remotes = {remote.name: remote for remote in store.list_roms()}
        except CartridgeError as error:
            shelf.trouble = error.message
            log_event("source_unreadable", level="warning", source=store.source, reason=error.message)
            if not shelf.roms:  # what is here from an earlier time
                shelf.roms = {rom.id: rom for rom in self._on_disk.kept(store.source)}
            return
        shelf.trouble = None
        readings = [(name, partial(self._on_disk.survey, remote)) for name, remote in remotes.items()]
        shelf.roms, names, shelf.broken = _judge(readings)
        shelf.remotes = {rom_id: remotes[name] for rom_id, name in names.items()}


def _judge(readings: Sequence[tuple[str, Callable[[], Rom]]]) -> tuple[dict[str, Rom], dict[str, str], dict[str, str]]:
    """ROMs by id, what each was called, and why others are none. Several are read at a time."""
    roms: dict[str, Rom] = {}
    names: dict[str, str] = {}
    broken: dict[str, str] = {}
    with ThreadPoolExecutor(_SURVEYS, thread_name_prefix="survey") as readers:
        futures = [(name, readers.submit(read)) for name, read in readings]
    for name, future in futures:
        try:
            rom = future.result()
        except CartridgeError as error:
            broken.setdefault(slug(name), error.message)
        else:
            if rom.id in roms:
                reason = f"{names[rom.id]} has the same id"
                log_event("rom_ignored", level="warning", rom=rom.id, name=name, reason=reason)
            else:
                roms[rom.id], names[rom.id] = rom, name
    return roms, names, broken


def _name(path: Path) -> str:
    """Of a directory, or of a file that is a ROM by itself."""
    return path.name if path.is_dir() else path.stem
