"""The directories of ROMs in the cache, who uses them, and whose weights have not been used for longest.

roms/<key>/<name>/     a ROM: a directory of links to blobs; the key changes with its objects
roms/<key>/whole.json  it is all there, and where it is from
holds/<key>            locked while the ROM is in use; its time is that of the last use
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.roms.locks import draft_suffix, locked
from app.roms.s3 import RemoteRom

_WHOLE = "whole.json"
_WEIGHTS_SUFFIX = ".safetensors"


class Shelf:
    def __init__(self, directory: Path) -> None:
        self.roms = directory / "roms"
        self._holds = directory / "holds"

    def make_directories(self) -> None:
        for folder in (self.roms, self._holds):
            folder.mkdir(parents=True, exist_ok=True)

    def directory(self, remote: RemoteRom) -> Path:
        """Where this ROM is, or will be: another place for every version of it."""
        version = (remote.source, remote.name, sorted((file.path, file.bytes, file.etag) for file in remote.files))
        return self.roms / hashlib.sha256(repr(version).encode()).hexdigest()[:32] / remote.name

    @contextmanager
    def hold(self, directory: Path) -> Iterator[None]:
        """Nobody removes its weights meanwhile. A ROM that is not of this cache is nobody's to remove."""
        if directory.parent.parent != self.roms:
            yield
            return
        path = self._holds / directory.parent.name
        if not path.exists() and not os.access(self._holds, os.W_OK):  # in a read-only cache nothing is removed
            yield
            return
        with locked(path, shared=True):
            if os.access(path, os.W_OK):
                os.utime(path)
            yield

    def is_whole(self, directory: Path) -> bool:
        return (directory.parent / _WHOLE).exists() and all(path.exists() for path in directory.rglob("*"))

    def mark_whole(self, directory: Path, remote: RemoteRom) -> None:
        mark = directory.parent / _WHOLE
        if not mark.exists():
            draft = mark.with_suffix(draft_suffix())
            draft.write_text(json.dumps({"source": remote.source}), encoding="utf-8")
            os.replace(draft, mark)

    def whole(self, source: str) -> list[Path]:
        """Directories of the whole ROMs of a source, the newest of each name."""
        found: dict[str, Path] = {}
        for mark in sorted(self.roms.glob(f"*/{_WHOLE}"), key=lambda mark: mark.stat().st_mtime):
            if json.loads(mark.read_text(encoding="utf-8"))["source"] == source:
                found |= {path.name: path for path in mark.parent.iterdir() if path.is_dir() and self.is_whole(path)}
        return [found[name] for name in sorted(found)]

    def by_last_use(self) -> list[str]:
        """Keys of the ROMs whose weights are here, in whole or in part, the least recently used first."""
        return sorted((path.name for path in self.roms.iterdir() if self._weights(path.name)), key=self._last_use)

    def drop_weights(self, key: str) -> bool:
        """Unless somebody holds it. The small files stay, so that the ROM is known still."""
        hold = self._holds / key
        with locked(hold, wait=False) as is_ours:
            if is_ours:
                (self.roms / key / _WHOLE).unlink(missing_ok=True)
                for link in self._weights(key):
                    link.unlink()
            return is_ours

    def _weights(self, key: str) -> list[Path]:
        return [path for path in (self.roms / key).rglob("*") if path.is_symlink() and path.suffix == _WEIGHTS_SUFFIX]

    def _last_use(self, key: str) -> float:
        try:
            return (self._holds / key).stat().st_mtime
        except FileNotFoundError:
            return 0.0
