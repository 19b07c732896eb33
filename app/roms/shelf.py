"""The directories of ROMs in the cache, who uses them, and which has not been used for longest.

roms/<key>/<name>/     a ROM: a directory of links to blobs; the key changes with its objects
roms/<key>/whole.json  it is all there, and where it is from
holds/<key>            locked while the ROM is in use; its time is that of the last use
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.roms.locks import locked
from app.roms.s3 import RemoteRom

_WHOLE = "whole.json"
_TRASH = ".trash-"


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
        """Nobody removes the ROM meanwhile. A ROM that is not of this cache is nobody's to remove."""
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
            draft = mark.with_suffix(f".{os.getpid()}")
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
        """Keys, the least recently used first."""
        keys = [path.name for path in self.roms.iterdir() if not path.name.startswith(_TRASH)]
        return sorted(keys, key=self._last_use)

    def remove(self, key: str) -> bool:
        """Unless somebody holds it."""
        hold = self._holds / key
        with locked(hold, wait=False) as is_ours:
            if is_ours:
                with suppress(FileNotFoundError):  # somebody else removed it
                    os.rename(self.roms / key, self.roms / f"{_TRASH}{key}")
                self.empty_trash()
                hold.unlink()
            return is_ours

    def empty_trash(self) -> None:
        for path in self.roms.glob(f"{_TRASH}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _last_use(self, key: str) -> float:
        try:
            return (self._holds / key).stat().st_mtime
        except FileNotFoundError:
            return 0.0
