"""Locks between processes: flock on small files. The kernel lets go of them when a process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of this file, which is made where it is missing; False when it is taken and we do not `wait`.

    Whoever holds it exclusively may remove the file: who waited for the old one takes the new one.
    """
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _take(descriptor, shared, wait):
                yield False
                return
            if _is_current(descriptor, path):
                yield True
                return
        finally:
            os.close(descriptor)


def _take(descriptor: int, shared: bool, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def draft_suffix() -> str:
    """Of a file that becomes another in one step: no other thread of any process has it now."""
    return f".{os.getpid()}-{threading.get_ident()}"
