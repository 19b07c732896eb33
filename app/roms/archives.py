"""ROMs in `.tar` and `.tar.gz`, unpacked once: nothing but plain files and folders that stay where they belong."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from app.errors import DiskUnavailable, ManifestError
from app.roms.locks import locked

_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_CHUNK_BYTES = 1024 * 1024
_MAX_READ_BYTES = 16 * 1024 * 1024
_MAX_NAME_BYTES = 255
_GZIP_SIGN = b"\x1f\x8b"


@dataclass(frozen=True)
class Bounds:
    """Of what an archive may unpack to."""

    nbytes: int = 64 * 1024**3
    entries: int = 10_000


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.endswith(_SUFFIXES)


def stem_of(archive: Path) -> str:
    """Its name without the suffix."""
    return archive.name.removesuffix(next(suffix for suffix in _SUFFIXES if archive.name.endswith(suffix)))


def unpack(archive: Path, directory: Path, bounds: Bounds | None = None) -> Path:
    """The archive's folder below `directory`, unpacked unless it was before. Equal for an archive that has not changed.

    Raises ManifestError when there is something in it that has no business there, DiskUnavailable when it does not fit.
    """
    state = archive.stat()
    version = hashlib.sha256(repr((str(archive.resolve()), state.st_size, state.st_mtime_ns)).encode()).hexdigest()[:32]
    place = directory / version
    try:
        if not place.exists():
            directory.mkdir(parents=True, exist_ok=True)
            with locked(directory / f"{version}.lock"):
                if not place.exists():
                    _unpack_whole(archive, place, bounds or Bounds())
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, RecursionError) as error:
        raise ManifestError(f"{archive.name} is no sound archive: {error}") from error
    except OSError as error:
        raise DiskUnavailable(f"{archive.name} cannot be unpacked to {directory}: {error.strerror}") from error
    return place / stem_of(archive)


def _unpack_whole(archive: Path, place: Path, bounds: Bounds) -> None:
    """All of it, or nothing."""
    draft = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        root = draft / stem_of(archive)
        root.mkdir()
        with _open(archive) as content, tarfile.open(fileobj=cast(Any, _Careful(content)), mode="r:") as stream:
            _unpack_entries(stream, root, bounds)
        os.rename(draft, place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _open(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        is_compressed = file.read(len(_GZIP_SIGN)) == _GZIP_SIGN
    return cast(IO[bytes], gzip.open(archive)) if is_compressed else archive.open("rb")


class _Careful:
    """A file as tarfile reads it, which would read as much at once as a header asks for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, nbytes: int) -> bytes:
        if not 0 <= nbytes <= _MAX_READ_BYTES:
            raise ValueError("a header of an unlikely size")
        return self._file.read(nbytes)


def _unpack_entries(stream: tarfile.TarFile, root: Path, bounds: Bounds) -> None:
    left = bounds.nbytes
    for count, member in enumerate(stream, start=1):
        if count > bounds.entries:
            raise ManifestError(f"the archive has more than {bounds.entries} entries")
        path = _checked(member)
        left -= member.size
        if left < 0:
            raise ManifestError(f"the archive unpacks to more than {bounds.nbytes} bytes")
        if path is None:
            continue
        target = root / path
        if any(place.is_file() for place in (target, *target.parents)) or (member.isreg() and target.exists()):
            raise ManifestError(f"the archive has {member.name!r} twice, or as a file and as a folder")
        folder = target if member.isdir() else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if member.isreg():
            _write(stream, member, target)


def _checked(member: tarfile.TarInfo) -> PurePosixPath | None:
    """Where an entry goes; None for the root itself. Raises ManifestError."""
    name = member.name
    if not (member.isreg() or member.isdir()):
        raise ManifestError(f"the archive has {name!r}, which is no plain file or folder (a link, perhaps)")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise ManifestError(f"the archive has {name!r}, which leads out of it")
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in parts):
        raise ManifestError(f"the archive has a name of more than {_MAX_NAME_BYTES} bytes")
    return PurePosixPath(*parts) if parts else None


def _write(stream: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = stream.extractfile(member)
    assert source is not None  # a plain file
    with target.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)
