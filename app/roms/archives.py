"""ROMs in `.tar` and `.tar.gz`, unpacked once: nothing but plain files and folders that stay where they belong."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.errors import DiskUnavailable, ManifestError
from app.roms.locks import locked

_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_CHUNK_BYTES = 1024 * 1024
_MAX_NAME_BYTES = 255


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
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ManifestError(f"{archive.name} is no sound archive: {error}") from error
    except OSError as error:
        if error.errno is None or isinstance(error, tarfile.ReadError):  # gzip says of damage that it is an OSError
            raise ManifestError(f"{archive.name} is no sound archive: {error}") from error
        raise DiskUnavailable(f"{archive.name} cannot be unpacked to {directory}: {error.strerror}") from error
    return place / stem_of(archive)


def _unpack_whole(archive: Path, place: Path, bounds: Bounds) -> None:
    """All of it, or nothing."""
    draft = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        root = draft / stem_of(archive)
        root.mkdir()
        with tarfile.open(archive, "r|*") as stream:  # read once, front to back: an index could be a bomb by itself
            _unpack_entries(stream, root, bounds)
        os.rename(draft, place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


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
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        else:
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
    if target.is_dir() or any(parent.is_file() for parent in target.parents):
        raise ManifestError(f"the archive has {member.name!r} as a file and as a folder")
    source = stream.extractfile(member)
    assert source is not None  # a plain file
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)
