"""A file on its way: its bytes as far as they are here, and a journal of the ranges that are.

The journal says of each range which checksum it has. What an earlier process left is believed only where the bytes
still have that checksum, so a machine that lost power in between costs no more than a range.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from awscrt.checksums import crc32c

_LINE = re.compile(rb"(\d+) (\d+)\n")


class Partial:
    """Within its `with`, open for writing. The caller holds the lock of the file."""

    def __init__(self, path: Path, size: int, range_bytes: int) -> None:
        self.path = path
        self.size = size
        self._range_bytes = range_bytes
        self._journal_path = path.with_suffix(".journal")
        self._title = f"{size} bytes in ranges of {range_bytes}\n".encode()
        self._writing = threading.Lock()

    def __enter__(self) -> Partial:
        self.checksums = self._read_journal()
        if not self.checksums:
            self.discard()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.truncate(self._descriptor, self.size)
        if not self.checksums:
            os.write(self._journal, self._title)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.close(self._descriptor)
        os.close(self._journal)

    def __len__(self) -> int:
        return -(-self.size // self._range_bytes)

    def bounds(self, index: int) -> tuple[int, int]:
        """Start and length of a range."""
        start = index * self._range_bytes
        return start, min(self._range_bytes, self.size - start)

    def write(self, offset: int, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def mark(self, index: int, checksum: int) -> None:
        """All bytes of this range are written."""
        with self._writing:
            os.write(self._journal, f"{index} {checksum}\n".encode())

    def read(self, index: int) -> list[bytes]:
        """A range that an earlier process left; empty where it is not what the journal says."""
        start, length = self.bounds(index)
        data = os.pread(self._descriptor, length, start)
        return [data] if len(data) == length and crc32c(data) == self.checksums[index] else []

    def finish(self, blob: Path) -> None:
        """Put the verified file where it belongs."""
        os.replace(self.path, blob)
        self._journal_path.unlink()

    def discard(self) -> None:
        self._journal_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _read_journal(self) -> dict[int, int]:
        """Checksums of the ranges that are here. The last line may be torn."""
        try:
            lines = self._journal_path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return {}
        if lines[:1] != [self._title] or not self.path.exists():
            return {}
        return dict(_matches(lines[1:]))


def _matches(lines: list[bytes]) -> Iterator[tuple[int, int]]:
    for line in lines:
        if match := _LINE.fullmatch(line):
            yield int(match[1]), int(match[2])
