"""Files by their content: one blob for equal files, whichever ROMs they belong to.

blobs/<sha256>        verified, never written again
partial/              what is on its way
index/                which sha256 an object has that was downloaded before
locks/                one download of a blob at a time
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.roms.locks import draft_suffix, locked
from app.roms.partial import Partial
from app.roms.s3 import RemoteFile

_PARTIAL_LIFETIME_S = 24 * 3600.0
_BLOCK_BYTES = 512  # of st_blocks


class Blobs:
    """What is in `directory`. Many threads and processes may use it; nothing is written before it must be."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        self._index = directory / "index"
        self._locks = directory / "locks"

    def make_directories(self) -> None:
        for folder in (self._blobs, self._partial, self._index, self._locks):
            folder.mkdir(parents=True, exist_ok=True)

    def known_digest(self, place: str, file: RemoteFile) -> str | None:
        """The sha256 of an object that was downloaded before."""
        try:
            return (self._index / _key(place, file)).read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def has(self, digest: str, size: int) -> bool:
        try:
            return (self._blobs / digest).stat().st_size == size
        except FileNotFoundError:
            return False

    def link(self, digest: str, size: int, link: Path) -> bool:
        """Make `link` point to a blob; False when it is not here."""
        with self._unswept():
            if not self.has(digest, size):
                return False
            self._point(link, digest)
            return True

    def partial_path(self, place: str, file: RemoteFile) -> Path:
        return self._partial / f"{_key(place, file)}.part"

    def partial_bytes(self, place: str, file: RemoteFile) -> int:
        """What is here of a file on its way, about."""
        return min(file.bytes, _allocated(self.partial_path(place, file)))

    @contextmanager
    def downloading(self, place: str, file: RemoteFile, digest: str | None) -> Iterator[None]:
        """Nobody else downloads the same blob meanwhile, as far as it is known to be the same."""
        with ExitStack() as held:
            for name in (_key(place, file), digest):
                if name is not None:
                    held.enter_context(self._locked(name))
            yield

    def keep(self, partial: Partial, digest: str, link: Path, place: str, file: RemoteFile) -> None:
        """A verified file becomes a blob with a link to it."""
        with self._unswept():
            partial.finish(self._blobs / digest)
            self._point(link, digest)
            entry = self._index / _key(place, file)
            draft = entry.with_suffix(draft_suffix())
            draft.write_text(digest, encoding="ascii")
            os.replace(draft, entry)

    def nbytes(self) -> int:
        """Of all blobs, and of what is on its way."""
        return sum(map(_allocated, (*self._blobs.glob("*"), *self._partial.glob("*"))))

    def sweep(self, roms: Path) -> int:
        """Remove the blobs to which nothing in `roms` links; the bytes that are free now."""
        with self._unswept():
            linked = {Path(os.readlink(path)).name for path in roms.rglob("*") if path.is_symlink()}
            freed = sum(_remove(blob) for blob in self._blobs.iterdir() if blob.name not in linked)
            for entry in self._index.iterdir():
                if not (self._blobs / entry.read_text(encoding="ascii")).exists():
                    entry.unlink()
        return freed

    def sweep_partials(self, *, young: bool = False, spare: Collection[Path] = ()) -> int:
        """Remove what nobody downloads and has not grown for a day, or lately; the bytes that are free now."""
        freed = 0
        for path in self._partial.glob("*.part"):
            if path in spare or not (young or _age_s(path) > _PARTIAL_LIFETIME_S):
                continue
            with self._locked(path.stem, wait=False) as is_ours:
                if is_ours:
                    freed += _remove(path)
                    path.with_suffix(".journal").unlink(missing_ok=True)
        return freed

    @contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        path = self._locks / name
        with locked(path, wait=wait) as is_ours:
            try:
                yield is_ours
            finally:
                if is_ours:
                    path.unlink()

    def _point(self, link: Path, digest: str) -> None:
        """Relative, so that the directory can be moved or mounted elsewhere."""
        target = os.path.relpath(self._blobs / digest, link.parent)
        if link.is_symlink() and os.readlink(link) == target:
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        draft = link.with_name(draft_suffix())
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        os.replace(draft, link)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Nobody else makes room meanwhile."""
        with locked(self._directory / "collect.lock"):
            yield

    @contextmanager
    def _unswept(self) -> Iterator[None]:
        """No blob goes meanwhile."""
        with locked(self._directory / "sweep.lock"):
            yield


def _key(place: str, file: RemoteFile) -> str:
    """Of an object as it was when it was listed."""
    return hashlib.sha256(repr((place, file.key, file.etag, file.bytes)).encode()).hexdigest()


def _allocated(path: Path) -> int:
    try:
        return path.stat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0


def _age_s(path: Path) -> float:
    """Since it was last written; 0 for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> int:
    freed = _allocated(path)
    path.unlink(missing_ok=True)
    return freed
