"""A cache directory that is looked at afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.roms.disk import RomDisk
from tests.support.buckets import make_disk, wrong_blobs


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache directory, in which nothing wrong may be left by any test."""
    yield tmp_path / "cache"
    assert wrong_blobs(tmp_path / "cache") == []


@pytest.fixture
def disk(cache: Path) -> Iterator[RomDisk]:
    disk = make_disk(cache)
    yield disk
    disk.close()
