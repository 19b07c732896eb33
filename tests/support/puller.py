"""Processes of their own that pull and hold ROMs, and may be killed. Nothing of torch is imported here."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from app.roms.catalog import read_rom
from app.roms.s3 import S3Store
from tests.support.buckets import Bucket, make_disk

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])  # imported once: a start takes milliseconds


def start_pull(bucket: Bucket, name: str, cache: Path) -> BaseProcess:
    """It ends with 0 when the ROM is whole."""
    process = _context.Process(target=_pull, args=(bucket.source, name, cache), daemon=True)
    process.start()
    return process


def start_hold(cache: Path, directory: Path) -> BaseProcess:
    """It holds the ROM from the moment this returns, until it is killed."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_hold, args=(cache, directory, theirs), daemon=True)
    process.start()
    assert ours.recv() == "held"
    ours.close()
    return process


def _pull(source: str, name: str, cache: Path) -> None:
    (remote,) = [rom for rom in S3Store.parse(source).list_roms() if rom.name == name]
    disk = make_disk(cache)
    disk.pull(remote)
    disk.close()


def _hold(cache: Path, directory: Path, writer: Connection) -> None:
    with make_disk(cache).hold(read_rom(directory)):
        writer.send("held")
        signal.pause()
