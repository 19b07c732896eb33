"""Which components of ROMs have the same weights.

Headers tell most apart. Files are read where two components look alike and no manifest says what is in them: a part of
each at first, all of it where that is equal, and each file once.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from app.backends.weights import count_floats
from app.roms.catalog import Rom
from app.roms.components import Component
from app.roms.weights import sha256_of

_SAMPLES, _SAMPLE_BYTES = 256, 4096

Stamp = tuple[int, int, int, int]  # of a file that is the same while this is: device, inode, size, time of change


@dataclass(eq=False)
class Identity:
    """One set of weights, and the files that it was met in first."""

    name: str
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    digests: tuple[str, ...]  # of the files, where they are known without reading

    @cached_property
    def num_floats(self) -> int:
        return sum(count_floats(self.files).values())

    @cached_property
    def sample(self) -> str:
        return "".join(_sample(path) for path in self.files)

    @cached_property
    def sha256(self) -> tuple[str, ...]:
        return self.digests or tuple(sha256_of(path) for path in self.files)

    def has_weights_of(self, other: Identity) -> bool:
        if self.digests and other.digests:
            return self.digests == other.digests
        return self.sample == other.sample and self.sha256 == other.sha256


@dataclass
class Identities:
    """Components that were asked for."""

    _by_files: dict[tuple[str, tuple[Stamp, ...]], Identity] = field(default_factory=dict)
    _by_outline: dict[str, list[Identity]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, rom: Rom, component: Component) -> Identity:
        """The same object for equal weights. Raises OSError where files are gone."""
        files = tuple(rom.directory / name for name in component.files)
        stamps = tuple(_stamp(path) for path in files)
        key = (component.outline, stamps)
        with self._lock:
            if key not in self._by_files:
                peers = self._by_outline.setdefault(component.outline, [])
                peers[:] = [peer for peer in peers if _is_unchanged(peer)]
                own = Identity(f"{component.outline[:24]}.{len(self._by_files)}", files, stamps, component.digests)
                equal = next((peer for peer in peers if peer.has_weights_of(own)), None)
                if equal is None:
                    peers.append(own)
                self._by_files[key] = equal or own
            return self._by_files[key]


def _is_unchanged(identity: Identity) -> bool:
    try:
        return identity.stamps == tuple(_stamp(path) for path in identity.files)
    except OSError:
        return False


def _stamp(path: Path) -> Stamp:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sample(path: Path) -> str:
    """Of some places in a file, evenly spread: files that differ here are different."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb", buffering=0) as file:
        for index in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * index // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
