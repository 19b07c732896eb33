"""Objects that change, or go, after they were listed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.roms.disk import RomDisk
from tests.support.buckets import KIB, Bucket, same_files, write_noise, write_rom
from tests.support.fault_proxy import FaultProxy, Request

UNET = "unet/model.safetensors"


@pytest.fixture
def painter(tmp_path: Path) -> Path:
    return write_rom(tmp_path / "painter")


def test_object_that_changes_between_ranges_is_taken_as_it_is_then(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    changes = iter([partial(replace_unet, bucket, painter, 7)])
    proxy.notes.before = lambda request: change_within(request, changes)
    rom = disk.pull(remote)
    assert same_files(rom.directory, painter)


def test_object_that_changes_all_the_time_is_one_clear_error(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    changes = iter([partial(replace_unet, bucket, painter, seed) for seed in range(20, 40)])
    proxy.notes.before = lambda request: change_within(request, changes)
    with pytest.raises(StoreUnavailable, match="'painter' is being changed"):
        disk.pull(remote)


def test_object_that_is_gone_by_now_is_one_clear_error(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    bucket.client.delete_object(Bucket=bucket.name, Key=f"roms/painter/{UNET}")
    with pytest.raises(StoreUnavailable, match=f"{UNET} of .* cannot be read: 404"):
        disk.pull(remote)


def replace_unet(bucket: Bucket, painter: Path, seed: int) -> None:
    write_noise(painter / UNET, 1024 * KIB, seed)
    bucket.put(f"roms/painter/{UNET}", (painter / UNET).read_bytes())


_CHANGING = threading.Lock()


def change_within(request: Request, changes: Iterator[Callable[[], None]]) -> None:
    """The next change, in the middle of the U-Net."""
    with _CHANGING:
        if request.key.endswith(UNET) and request.start == 256 * KIB and (change := next(changes, None)):
            change()
