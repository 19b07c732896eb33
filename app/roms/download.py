"""One object after another, to a file of its own: in parallel ranges, hashed in order while they arrive.

The ranges of all files share one pool of connections. Each file has a thread that hashes what its ranges bring,
straight from memory, and lets only so many of them be ahead of it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from awscrt.checksums import crc32c

from app.errors import ManifestError
from app.roms.checksums import Check, Sha256Check, check_of
from app.roms.partial import Partial
from app.roms.ranges import ObjectChanged, RangeReader, Stopped
from app.roms.s3 import RemoteFile, S3Store

_TRIES = 2  # at right bytes


@dataclass(frozen=True)
class Transfer:
    """How ranges are asked for."""

    connections: int = 16
    range_bytes: int = 8 * 1024 * 1024
    ranges_ahead: int = 8  # besides one a connection, in memory until they are hashed


@dataclass(frozen=True)
class Watch:
    """Of several files that are wanted together."""

    advance: Callable[[int], None]  # takes the bytes that are newly here; fewer than none where some were wrong
    given_up: threading.Event = field(default_factory=threading.Event)  # set by the first file that fails


class Downloader:
    """Many threads may use one."""

    def __init__(self, reader: RangeReader, transfer: Transfer) -> None:
        self._reader = reader
        self._range_bytes = transfer.range_bytes
        self._pool = ThreadPoolExecutor(transfer.connections, thread_name_prefix="download")
        self._room = threading.Semaphore(transfer.connections + transfer.ranges_ahead)

    def close(self) -> None:
        """Call it when the reader has stopped."""
        self._pool.shutdown()

    def fetch(
        self,
        store: S3Store,
        file: RemoteFile,
        path: Path,
        sha256: str | None,
        watch: Watch,
        keep: Callable[[Partial, str], None],
    ) -> None:
        """Download to `path`, going on from what is there, verify, and hand it to `keep` with its sha256.

        Raises ObjectChanged, StoreUnavailable, ManifestError when the bytes are wrong again and again, and OSError.
        """
        for _ in range(_TRIES):
            checks = self._checks(store, file, sha256)
            partial = Partial(path, file.bytes, self._range_bytes)
            with partial:
                try:
                    self._receive(store, file, partial, checks, watch)
                except (ObjectChanged, OSError):  # a full disk among them: leave it as it was
                    partial.discard()
                    raise
                if all(check.agrees() for check in checks):
                    keep(partial, checks[0].digest())
                    return
                partial.discard()
            watch.advance(-file.bytes)
        raise ManifestError(f"{file.path} does not have the checksum that {'the manifest' if sha256 else 'S3'} tells")

    def _checks(self, store: S3Store, file: RemoteFile, sha256: str | None) -> tuple[Sha256Check, *tuple[Check, ...]]:
        if sha256 is not None:
            return (Sha256Check(sha256),)
        head = store.head(file)
        if head["ETag"] != file.etag:
            raise ObjectChanged(file.key)
        check = check_of(head)
        return (Sha256Check(), check) if check else (Sha256Check(),)

    def _receive(
        self, store: S3Store, file: RemoteFile, partial: Partial, checks: tuple[Check, ...], watch: Watch
    ) -> None:
        pending: deque[Future[list[bytes]]] = deque()
        index = 0
        try:
            while pending or index < len(partial):
                while index < len(partial) and self._room.acquire(blocking=not pending):
                    pending.append(self._pool.submit(self._bring, store, file, partial, index, watch))
                    index += 1
                for chunk in pending[0].result():
                    for check in checks:
                        check.update(chunk)
                pending.popleft()
                self._room.release()
        except BaseException:
            watch.given_up.set()
            raise
        finally:
            wait(pending)
            for _ in pending:
                self._room.release()

    def _bring(self, store: S3Store, file: RemoteFile, partial: Partial, index: int, watch: Watch) -> list[bytes]:
        """A range, from the file where it is there already."""
        if watch.given_up.is_set():
            raise Stopped
        start, length = partial.bounds(index)
        if index in partial.checksums and (chunks := partial.read(index)):
            watch.advance(length)
            return chunks
        chunks, checksum = [], 0
        for chunk in self._reader.read(store, file, start, length):
            if watch.given_up.is_set():
                raise Stopped
            partial.write(start, chunk)
            checksum = crc32c(chunk, checksum)
            start += len(chunk)
            chunks.append(chunk)
            watch.advance(len(chunk))
        partial.mark(index, checksum)
        return chunks
