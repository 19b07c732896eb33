"""Files compared with the digests of their manifest, each once as long as it is not touched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.errors import ManifestError
from app.roms.manifest import RomFile
from app.roms.weights import sha256_of

_THREADS = 4  # hashing lets go of Python's lock


class VerifiedFiles:
    def __init__(self) -> None:
        self._known: set[tuple[Path, int, int, int, str]] = set()

    def check(self, directory: Path, files: Sequence[RomFile]) -> None:
        """Raises ManifestError naming the first of these files whose sha256 is another."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as threads:
            for file, is_right in zip(
                files, threads.map(lambda file: self._is_right(directory, file), files), strict=True
            ):
                if not is_right:
                    raise ManifestError(f"{file.path} does not have the sha256 of the manifest")

    def _is_right(self, directory: Path, file: RomFile) -> bool:
        path = directory / file.path
        stat = path.stat()
        identity = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, file.sha256)
        if identity not in self._known:
            if sha256_of(path) != file.sha256:
                return False
            self._known.add(identity)
        return True
