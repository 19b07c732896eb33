"""What a library makes of buckets that change, and of stores and disks that fail, while its ROMs serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import DiskUnavailable, StoreUnavailable
from app.roms.disk import RomDisk
from app.roms.library import RomLibrary
from tests.support.buckets import KIB, PATIENCE, TRANSFER, Bucket, make_disk, write_rom
from tests.support.fault_proxy import Fault, FaultProxy


@pytest.fixture
def library(bucket: Bucket, cache: Path, tmp_path: Path) -> Iterator[RomLibrary]:
    """`painter` and `potter` are on the disk, `weaver` is not."""
    for seed, name in enumerate(("painter", "potter", "weaver")):
        bucket.sync(write_rom(tmp_path / name, 100 * KIB, seed))
    library = RomLibrary([bucket.store], make_disk(cache))
    library.read_buckets()
    for name in ("painter", "potter"):
        library.fetch(library.catalog.get(name)).result()
    yield library
    library.close()


def test_roms_that_serve_stay_as_they_are_while_a_broken_one_is_looked_at_again(
    library: RomLibrary, bucket: Bucket, tmp_path: Path
) -> None:
    before = {name: library.catalog.get(name) for name in ("painter", "potter")}
    bucket.sync(write_rom(tmp_path / "new" / "painter", 100 * KIB, seed=9))
    for key in bucket.keys("roms/potter/"):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    library.catalog.quarantine("weaver", "it was broken")
    sound = library.read_again()
    assert [rom.id for rom in sound] == ["weaver"]
    assert {name: library.catalog.get(name) for name in before} == before
    assert [library.missing_bytes(rom) for rom in before.values()] == [0, 0]


def test_a_broken_rom_is_taken_as_it_is_by_now(library: RomLibrary, bucket: Bucket, tmp_path: Path) -> None:
    old = library.catalog.get("weaver")
    bucket.sync(write_rom(tmp_path / "new" / "weaver", 100 * KIB, seed=9))
    library.catalog.quarantine("weaver", "it was broken")
    (new,) = library.read_again()
    assert new.directory != old.directory
    assert library.fetch(new).result().directory == new.directory


def test_a_store_that_fails_breaks_no_rom(library: RomLibrary, bucket: Bucket, proxy: FaultProxy) -> None:
    weaver = library.catalog.get("weaver")
    proxy.notes.faults.extend(Fault("status") for _ in range(100))
    with pytest.raises(StoreUnavailable, match="cannot be downloaded"):
        library.fetch(weaver).result()
    assert library.catalog.quarantined == {}
    proxy.forget()
    assert library.fetch(weaver).result().id == "weaver"


def test_a_disk_without_room_breaks_no_rom(bucket: Bucket, cache: Path, tmp_path: Path) -> None:
    bucket.sync(write_rom(tmp_path / "painter", 100 * KIB))
    library = RomLibrary([bucket.store], RomDisk(cache, 1000, transfer=TRANSFER, patience=PATIENCE))
    library.read_buckets()
    with pytest.raises(DiskUnavailable, match="painter"):
        library.fetch(library.catalog.get("painter")).result()
    assert library.catalog.quarantined == {}
    library.close()
