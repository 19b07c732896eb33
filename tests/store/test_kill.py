"""A process that is killed while it downloads costs the ranges that were under way, and nothing else."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.support.buckets import KIB, TRANSFER, Bucket, make_disk, same_files, write_rom, wrong_blobs
from tests.support.fault_proxy import FaultProxy
from tests.support.puller import start_pull

KILLS = 5
UNET = "unet/model.safetensors"
UNET_BYTES = 1024 * KIB
ALL_BYTES = UNET_BYTES + 100 * KIB


@pytest.mark.parametrize("seed", range(10))
def test_download_that_is_killed_again_and_again_completes(
    bucket: Bucket, proxy: FaultProxy, cache: Path, tmp_path: Path, seed: int
) -> None:
    original = write_rom(tmp_path / "painter", UNET_BYTES, seed)
    remote, chance = bucket.sync(original), random.Random(seed)
    for _ in range(KILLS):
        done = done_ranges(cache)
        proxy.forget()
        pull_and_kill(bucket, proxy, cache, after=chance.randrange(ALL_BYTES // 2))
        assert not done & asked_ranges(proxy)
        assert wrong_blobs(cache) == []
    done = done_ranges(cache)
    proxy.forget()
    disk = make_disk(cache)
    rom = disk.pull(remote)
    disk.close()
    assert same_files(rom.directory, original)
    assert not done & asked_ranges(proxy)
    assert not list((cache / "partial").iterdir())


def pull_and_kill(bucket: Bucket, proxy: FaultProxy, cache: Path, after: int) -> None:
    """Kill it when so many bytes have left the store, unless it has ended before."""
    due = threading.Event()
    proxy.notes.on_served = lambda total: due.set() if total > after else None
    process = start_pull(bucket, "painter", cache)
    while process.is_alive() and not due.wait(0.02):
        pass
    process.kill()
    process.join()


def done_ranges(cache: Path) -> set[int]:
    """Ranges of the U-Net that are on the disk: of its journal, or all when it is a blob."""
    if any(blob.stat().st_size > UNET_BYTES for blob in (cache / "blobs").glob("*")):
        return set(range(1 + UNET_BYTES // TRANSFER.range_bytes))
    texts = [path.read_text() for path in (cache / "partial").glob("*.journal")]
    journals = [text.split("\n")[:-1] for text in texts]  # the last line may be torn
    of_unet = [lines for title, *lines in filter(None, journals) if int(title.split()[0]) > UNET_BYTES]
    return {int(line.split()[0]) for lines in of_unet for line in lines}


def asked_ranges(proxy: FaultProxy) -> set[int]:
    whole = [request for request in proxy.notes.requests if request.key.endswith(UNET)]
    return {request.start // TRANSFER.range_bytes for request in whole}
