"""ROMs from S3 on the local disk: surveyed first, pulled when they are wanted, held while in use, removed when old."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.errors import DiskUnavailable, ManifestError, NotReady, StoreUnavailable
from app.roms.blobs import Blobs
from app.roms.catalog import Rom, read_rom
from app.roms.download import Downloader, Transfer
from app.roms.draft import read_draft
from app.roms.fetching import Fetcher, Progress, is_here
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME, RomManifest, read_json, read_manifest
from app.roms.ranges import ObjectChanged, Patience, RangeReader, Stopped
from app.roms.s3 import RemoteFile, RemoteRom
from app.roms.selection import Selection, select
from app.roms.shelf import Shelf
from app.roms.weights import HEADER_START, header_end

_HEAD_BYTES = 256 * 1024  # holds the header of most weights


@dataclass(frozen=True)
class Hooks:
    """Who wants to know what is downloaded. They are called on the threads that download."""

    on_received: Callable[[int], None] = lambda nbytes: None
    on_retry: Callable[[str], None] = lambda reason: None


@dataclass(frozen=True)
class _Look:
    """A ROM whose small files are here."""

    remote: RemoteRom
    directory: Path
    manifest: RomManifest
    selection: Selection

    @property
    def files(self) -> dict[str, RemoteFile]:
        return {file.path: file for file in self.remote.files}

    @property
    def digests(self) -> dict[str, str]:
        return {file.path: file.sha256 for file in self.manifest.files}


class RomDisk:
    """A cache directory. Several processes may share one; what is whole in a read-only one is served.

    `capacity_bytes` bounds what is kept; 0: the disk does.
    """

    def __init__(
        self,
        directory: Path,
        capacity_bytes: int = 0,
        *,
        transfer: Transfer | None = None,
        patience: Patience | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        transfer = transfer or Transfer()
        self._root = directory
        self._capacity_bytes = capacity_bytes
        self._hooks = hooks or Hooks()
        self._blobs = Blobs(directory)
        self._shelf = Shelf(directory)
        self._reader = RangeReader(transfer.connections, patience, self._hooks.on_received, self._hooks.on_retry)
        self._fetcher = Fetcher(self._blobs, Downloader(self._reader, transfer))

    def close(self) -> None:
        """Break off what is under way; what is on the disk is gone on from the next time."""
        self._reader.stop()
        self._fetcher.close()
        self._reader.close()

    def survey(self, remote: RemoteRom) -> Rom:
        """Fetch all but the weights, and of the weights their headers. Raises ManifestError, StoreUnavailable."""
        return self._with_current(remote, self._survey)

    def pull(self, remote: RemoteRom, on_progress: Progress = lambda done, total: None) -> Rom:
        """Fetch what is missing, verified; the ROM as it is on the disk. It may be a newer one than was surveyed.

        Raises ManifestError, StoreUnavailable, DiskUnavailable.
        """
        return self._with_current(remote, partial(self._pull, on_progress=on_progress))

    def remaining_bytes(self, remote: RemoteRom) -> int:
        """What `pull` would download, as far as that is known from what is here."""
        directory = self._shelf.directory(remote)
        try:
            look = self._read_look(remote, directory)
        except (ManifestError, FileNotFoundError):
            return remote.bytes
        return self._missing_bytes(look, (*look.selection.small, *look.selection.large))

    def is_whole(self, rom: Rom) -> bool:
        """Whether it can be loaded. A ROM that somebody holds stays whole."""
        return self._shelf.is_whole(rom.directory)

    def kept(self, source: str) -> list[Rom]:
        """The ROMs of a store that are whole on the disk, for when it cannot be listed."""
        roms = []
        for directory in self._shelf.whole(source):
            with suppress(ManifestError):  # it was whole, and somebody has touched it since
                roms.append(read_rom(directory))
        return roms

    def hold(self, rom: Rom) -> AbstractContextManager[None]:
        """Keep it on the disk while in use, in the eyes of other processes too."""
        return self._shelf.hold(rom.directory)

    def collect(self) -> int:
        """Remove what is left over and, above the capacity, the weights that were not used for longest; bytes freed."""
        with self._explained():
            return self._collect(0, ())

    def _with_current(self, remote: RemoteRom, work: Callable[[RemoteRom], Rom]) -> Rom:
        """Work on the ROM as it was listed or, when its objects have changed since, once on what they are now."""
        with self._explained():
            try:
                return work(remote)
            except ObjectChanged:
                try:
                    return work(remote.store.relist(remote))
                except ObjectChanged as error:
                    message = f"ROM {remote.name!r} is being changed in its store: {error}"
                    raise StoreUnavailable(message, retry_after_s=30) from error

    def _survey(self, remote: RemoteRom) -> Rom:
        with self._shelf.hold(self._shelf.directory(remote)):
            look = self._look(remote)
            paths = look.selection.large
            with ThreadPoolExecutor(max(1, len(paths))) as pool:
                heads = dict(zip(paths, pool.map(partial(self._head, look), paths), strict=True))
            return read_draft(look.directory, look.selection.small, heads)

    def _pull(self, remote: RemoteRom, on_progress: Progress) -> Rom:
        with self._shelf.hold(self._shelf.directory(remote)):
            look = self._look(remote)
            paths = (*look.selection.small, *look.selection.large)
            if missing_bytes := self._missing_bytes(look, paths):
                self._make_room(look, missing_bytes)
            self._fetcher.fetch(look.remote, look.directory, paths, look.digests, on_progress)
            rom = read_rom(look.directory)
            self._shelf.mark_whole(look.directory, remote)
        return rom

    def _look(self, remote: RemoteRom) -> _Look:
        """Fetch the small files."""
        if remote.broken:
            raise ManifestError(remote.broken)
        directory = self._shelf.directory(remote)
        heads = [file.path for file in remote.files if file.path in (MANIFEST_NAME, INDEX_NAME)]
        self._fetcher.fetch(remote, directory, heads, {})
        look = self._read_look(remote, directory)
        self._fetcher.fetch(remote, directory, look.selection.small, look.digests)
        return look

    def _read_look(self, remote: RemoteRom, directory: Path) -> _Look:
        manifest, sizes = read_manifest(directory), {file.path: file.bytes for file in remote.files}
        for file in manifest.files:
            if file.path not in sizes:
                raise ManifestError(f"{file.path} is missing")
            if file.bytes != sizes[file.path]:
                raise ManifestError(f"{file.path} has {sizes[file.path]} bytes, the manifest says {file.bytes}")
        index = read_json(directory / INDEX_NAME) if INDEX_NAME in sizes else {}
        return _Look(remote, directory, manifest, select(sizes, index, manifest))

    def _head(self, look: _Look, path: str) -> tuple[bytes, int]:
        """Of weights, wherever they are: their first bytes, with all of their header, and how many they are."""
        file = look.files[path]
        head = self._read_start(look, file, 0, min(_HEAD_BYTES, file.bytes))
        end = header_end(Path(path).name, head[:HEADER_START], file.bytes)
        if end > len(head):
            head += self._read_start(look, file, len(head), min(end, file.bytes) - len(head))
        return head, file.bytes

    def _read_start(self, look: _Look, file: RemoteFile, start: int, length: int) -> bytes:
        if not is_here(look.directory, file):
            return b"".join(self._reader.read(look.remote.store, file, start, length))
        with (look.directory / file.path).open("rb") as there:
            there.seek(start)
            return there.read(length)

    def _missing_bytes(self, look: _Look, paths: Iterable[str]) -> int:
        place, needed = look.remote.store.place, 0
        for file in (look.files[path] for path in paths):
            digest = look.digests.get(file.path) or self._blobs.known_digest(place, file)
            if not is_here(look.directory, file) and not (digest and self._blobs.has(digest, file.bytes)):
                needed += file.bytes - self._blobs.partial_bytes(place, file)
        return needed

    def _make_room(self, look: _Look, nbytes: int) -> None:
        """Raises DiskUnavailable when it is not to be had."""
        self._collect(nbytes, [self._blobs.partial_path(look.remote.store.place, file) for file in look.remote.files])
        if not self._has_room(nbytes):
            capacity = f" of {self._capacity_bytes} bytes" if self._capacity_bytes else ""
            message = f"ROM {look.manifest.id!r} needs {nbytes} bytes more in the cache {self._root}{capacity}"
            raise DiskUnavailable(f"{message}, where they are not to be had: {self._free_bytes()} are free on the disk")

    def _collect(self, nbytes: int, spare: list[Path] | tuple[Path, ...]) -> int:
        """Make room for so many bytes more, as far as that goes."""
        with self._blobs.collecting():
            freed = self._blobs.sweep(self._shelf.roms) + self._blobs.sweep_partials()
            for key in self._shelf.by_last_use():
                if self._has_room(nbytes):
                    break
                if self._shelf.drop_weights(key):
                    freed += self._blobs.sweep(self._shelf.roms)
            if not self._has_room(nbytes):
                freed += self._blobs.sweep_partials(young=True, spare=spare)
        return freed

    def _has_room(self, nbytes: int) -> bool:
        fits = not self._capacity_bytes or self._blobs.nbytes() + nbytes <= self._capacity_bytes
        return fits and nbytes <= self._free_bytes()

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._root).free

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            self._blobs.make_directories()
            self._shelf.make_directories()
            yield
        except OSError as error:
            raise DiskUnavailable(f"the cache {self._root} cannot be used: {error.strerror}") from error
        except Stopped as error:
            raise NotReady("the service is stopping", retry_after_s=5) from error
