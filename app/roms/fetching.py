"""Several files of a ROM at once: each becomes a link to a blob, and only blobs that are not here are downloaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from app.roms.blobs import Blobs
from app.roms.download import Downloader, Watch
from app.roms.ranges import Stopped
from app.roms.s3 import RemoteFile, RemoteRom

_FILES_AT_ONCE = 16
Progress = Callable[[int, int], None]  # bytes that are here, of all


class Fetcher:
    def __init__(self, blobs: Blobs, downloader: Downloader) -> None:
        self._blobs = blobs
        self._downloader = downloader
        self._pool = ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="files")

    def close(self) -> None:
        """Call it when the downloader's reader has stopped."""
        self._pool.shutdown()
        self._downloader.close()

    def fetch(
        self,
        remote: RemoteRom,
        directory: Path,
        paths: Iterable[str],
        digests: dict[str, str],
        on_progress: Progress = lambda done, total: None,
    ) -> None:
        """Bring these files to the directory, many at once, the largest first."""
        files = {file.path: file for file in remote.files}
        wanted = sorted((files[path] for path in paths), key=lambda file: -file.bytes)
        missing = [file for file in wanted if not is_here(directory, file)]
        tally = _Tally(sum(file.bytes for file in wanted), on_progress)
        tally.advance(tally.total - sum(file.bytes for file in missing))
        if not missing:
            return
        watch = Watch(tally.advance)
        work = [self._pool.submit(self._bring, remote, directory, file, digests, watch) for file in missing]
        wait(work)
        errors = [error for error in (done.exception() for done in work) if error is not None]
        if errors:
            raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])

    def _bring(
        self, remote: RemoteRom, directory: Path, file: RemoteFile, digests: dict[str, str], watch: Watch
    ) -> None:
        """A link to the file's blob, which is downloaded unless it is here, or another process brings it."""
        place, link = remote.store.place, directory / file.path
        expected = digests.get(file.path)
        if watch.given_up.is_set():
            raise Stopped
        try:
            with self._blobs.downloading(place, file, expected):
                digest = expected or self._blobs.known_digest(place, file)
                if digest and self._blobs.link(digest, file.bytes, link):
                    watch.advance(file.bytes)
                    return
                keep = partial(self._blobs.keep, link=link, place=place, file=file)
                path = self._blobs.partial_path(place, file)
                self._downloader.fetch(remote.store, file, path, expected, watch, keep)
        except BaseException:
            watch.given_up.set()
            raise


class _Tally:
    """Counts what is here. Many threads may advance it."""

    def __init__(self, total: int, on_progress: Progress) -> None:
        self.total = total
        self._done = 0
        self._on_progress = on_progress
        self._counting = threading.Lock()

    def advance(self, nbytes: int) -> None:
        with self._counting:
            self._done += nbytes
            self._on_progress(self._done, self.total)


def is_here(directory: Path, file: RemoteFile) -> bool:
    """Whether its bytes are, behind a link."""
    try:
        return (directory / file.path).stat().st_size == file.bytes
    except FileNotFoundError:
        return False
