"""What is kept on the disk, for how long, and what happens when it cannot be."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import DiskUnavailable, StoreUnavailable
from app.roms.catalog import Rom
from app.roms.disk import Hooks, RomDisk
from app.roms.s3 import RemoteRom, S3Store
from tests.support.buckets import KIB, PATIENCE, TRANSFER, Bucket, make_disk, same_files, write_noise, write_rom
from tests.support.fault_proxy import FaultProxy
from tests.support.puller import start_hold, start_pull
from tests.support.roms import describe_file, write_manifest

UNET = "unet/model.safetensors"
ROM_BYTES = 400 * KIB  # above what `make_roms` makes of each, below two of them


@pytest.fixture
def make_roms(bucket: Bucket, tmp_path: Path) -> Callable[..., list[RemoteRom]]:
    """ROMs in the bucket, of different bytes."""
    return lambda *names: [
        bucket.sync(write_rom(tmp_path / name, 200 * KIB, seed)) for seed, name in enumerate(names, start=1)
    ]


@pytest.fixture
def small_disk(cache: Path) -> Iterator[RomDisk]:
    """Two ROMs fit."""
    disk = make_disk(cache, capacity_bytes=2 * ROM_BYTES)
    yield disk
    disk.close()


def kept(disk: RomDisk, remote: RemoteRom) -> list[str]:
    return [rom.id for rom in disk.kept(remote.source)]


def use(disk: RomDisk, rom: Rom, at: float) -> None:
    """As if it had last been used then."""
    with disk.hold(rom):
        pass
    hold = rom.directory.parent.parent.parent / "holds" / rom.directory.parent.name
    os.utime(hold, (at, at))


def test_rom_that_was_not_used_for_longest_makes_room(
    small_disk: RomDisk, cache: Path, make_roms: Callable[..., list[RemoteRom]]
) -> None:
    first, second, third = make_roms("first", "second", "third")
    roms = [small_disk.pull(first), small_disk.pull(second)]
    use(small_disk, roms[0], at=2000)
    use(small_disk, roms[1], at=1000)
    small_disk.pull(third)
    assert kept(small_disk, first) == ["first", "third"]
    assert sum(path.stat().st_size for path in (cache / "blobs").iterdir()) < 2 * ROM_BYTES


@pytest.mark.parametrize("by_another_process", [False, True])
def test_rom_that_is_held_stays(
    small_disk: RomDisk, cache: Path, make_roms: Callable[..., list[RemoteRom]], by_another_process: bool
) -> None:
    first, second, third = make_roms("first", "second", "third")
    roms = [small_disk.pull(first), small_disk.pull(second)]
    use(small_disk, roms[0], at=1000)
    use(small_disk, roms[1], at=2000)
    if by_another_process:
        process = start_hold(cache, roms[0].directory)
        os.utime(cache / "holds" / roms[0].directory.parent.name, (1000, 1000))
        small_disk.pull(third)
        assert kept(small_disk, first) == ["first", "third"]
        process.kill()
        process.join()
        use(small_disk, roms[0], at=1000)
    else:
        with small_disk.hold(roms[0]):
            os.utime(cache / "holds" / roms[0].directory.parent.name, (1000, 1000))
            small_disk.pull(third)
        assert kept(small_disk, first) == ["first", "third"]
        use(small_disk, roms[0], at=1000)
    small_disk.pull(second)
    assert kept(small_disk, first) == ["second", "third"]


def test_rom_that_does_not_fit_is_refused_before_it_is_downloaded(
    cache: Path, proxy: FaultProxy, make_roms: Callable[..., list[RemoteRom]]
) -> None:
    (remote,) = make_roms("first")
    disk = make_disk(cache, capacity_bytes=100 * KIB)
    with pytest.raises(DiskUnavailable, match=r"ROM 'first' needs \d+ bytes more in the cache .* of 102400 bytes"):
        disk.pull(remote)
    disk.close()
    assert proxy.notes.requested_bytes(UNET) == 0


def test_blob_that_two_roms_share_outlives_one_of_them(bucket: Bucket, small_disk: RomDisk, tmp_path: Path) -> None:
    first, twin = write_rom(tmp_path / "first", 200 * KIB), write_rom(tmp_path / "twin", 200 * KIB)
    write_noise(twin / UNET, 200 * KIB, seed=99)
    other = write_rom(tmp_path / "other", 400 * KIB, seed=4)
    roms = [small_disk.pull(bucket.sync(path)) for path in (first, twin)]
    use(small_disk, roms[0], at=1000)
    use(small_disk, roms[1], at=2000)
    with small_disk.hold(roms[1]):
        small_disk.pull(bucket.sync(other))
    assert not small_disk.is_whole(roms[0])
    assert same_files(roms[1].directory, twin)


def test_rom_that_made_room_is_known_still_and_pulled_again(
    small_disk: RomDisk, proxy: FaultProxy, make_roms: Callable[..., list[RemoteRom]]
) -> None:
    first, second, third = make_roms("first", "second", "third")
    rom = small_disk.pull(first)
    use(small_disk, rom, at=1000)
    for remote in (second, third):
        small_disk.pull(remote)
    assert (rom.directory / "unet" / "config.json").exists()
    assert small_disk.remaining_bytes(first) > 200 * KIB
    assert small_disk.survey(first).components == rom.components
    proxy.forget()
    assert small_disk.is_whole(small_disk.pull(first))
    assert proxy.notes.requested_bytes(UNET) == next(file.bytes for file in first.files if file.path == UNET)


def test_collecting_leaves_what_fits_and_removes_what_nothing_needs(
    disk: RomDisk, cache: Path, make_roms: Callable[..., list[RemoteRom]]
) -> None:
    rom = disk.pull(make_roms("first")[0])
    (cache / "blobs" / ("0" * 64)).write_bytes(b"x" * 5000)
    stale = cache / "partial" / "stale.part"
    stale.write_bytes(b"x" * 5000)
    os.utime(stale, (1000, 1000))
    (cache / "partial" / "young.part").write_bytes(b"x")
    assert disk.collect() >= 10000
    assert [path.name for path in (cache / "partial").iterdir()] == ["young.part"]
    assert not (cache / "blobs" / ("0" * 64)).exists()
    assert disk.is_whole(rom)
    assert disk.collect() == 0


def test_two_processes_download_a_blob_once_between_them(
    bucket: Bucket, proxy: FaultProxy, cache: Path, tmp_path: Path
) -> None:
    original = write_rom(tmp_path / "painter", 600 * KIB)
    remote = bucket.sync(original)
    processes = [start_pull(bucket, "painter", cache) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    asked = [(request.key, request.start) for request in proxy.notes.requests]
    assert len(asked) == len(set(asked))
    disk = make_disk(cache)
    assert same_files(disk.kept(remote.source)[0].directory, original)
    disk.close()


def test_threads_that_pull_one_rom_share_its_download(
    bucket: Bucket, proxy: FaultProxy, disk: RomDisk, tmp_path: Path
) -> None:
    original = write_rom(tmp_path / "painter", 600 * KIB)
    remote = bucket.sync(original)
    threads = [threading.Thread(target=disk.pull, args=(remote,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [(request.key, request.start) for request in proxy.notes.requests]
    assert len(asked) == len(set(asked))
    assert same_files(disk.pull(remote).directory, original)


def test_whole_roms_are_offered_while_the_store_is_away(
    bucket: Bucket, cache: Path, disk: RomDisk, make_roms: Callable[..., list[RemoteRom]]
) -> None:
    first, second = make_roms("first", "second")
    pulled = disk.pull(first)
    disk.survey(second)
    after_a_start = make_disk(cache)
    assert after_a_start.kept(bucket.store.source) == [pulled]
    assert after_a_start.kept("s3://elsewhere/") == []
    after_a_start.close()


def test_changed_rom_replaces_what_is_offered(bucket: Bucket, disk: RomDisk, tmp_path: Path) -> None:
    original = write_rom(tmp_path / "painter", 100 * KIB)
    old = disk.pull(bucket.sync(original))
    write_manifest(original, family="stable_diffusion", title="new", files=[describe_file(original, UNET)])
    new = disk.pull(bucket.sync(original))
    assert new.directory != old.directory
    assert [rom.manifest.title for rom in disk.kept(bucket.store.source)] == ["new"]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Mounts, which end with the test. Skips where we may not."""
    mounted: list[Path] = []

    def run(target: Path, *arguments: str) -> None:
        target.mkdir(exist_ok=True)
        if subprocess.run(["mount", *arguments, target], capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
        if target not in mounted:
            mounted.append(target)

    yield run
    for target in reversed(mounted):
        subprocess.run(["umount", "--lazy", target], check=True)


def test_read_only_cache_serves_what_is_whole_and_says_what_is_not(
    disk: RomDisk,
    cache: Path,
    tmp_path: Path,
    make_roms: Callable[..., list[RemoteRom]],
    mount: Callable[..., None],
) -> None:
    first, second = make_roms("first", "second")
    disk.pull(first)
    mount(tmp_path / "frozen", "--bind", os.fspath(cache))
    mount(tmp_path / "frozen", "-o", "remount,bind,ro")
    frozen = make_disk(tmp_path / "frozen")
    (rom,) = frozen.kept(first.source)
    assert frozen.survey(first) == rom
    with frozen.hold(rom):
        assert same_files(frozen.pull(first).directory, tmp_path / "first")
    with pytest.raises(DiskUnavailable, match="frozen cannot be used: Read-only file system"):
        frozen.pull(second)
    frozen.close()


def test_full_disk_is_one_clear_error_and_leaves_room_for_others(
    bucket: Bucket, tmp_path: Path, mount: Callable[..., None]
) -> None:
    cache = tmp_path / "tiny"
    mount(cache, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    large = bucket.sync(write_rom(tmp_path / "large", 1500 * KIB))
    small = bucket.sync(write_rom(tmp_path / "small", 300 * KIB, seed=2))
    disk = make_disk(cache)
    with pytest.raises(DiskUnavailable, match="ROM 'large' needs"):
        disk.pull(large)
    assert same_files(disk.pull(small).directory, tmp_path / "small")
    disk.close()


def test_disk_that_fills_up_meanwhile_is_one_clear_error(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path, mount: Callable[..., None]
) -> None:
    cache = tmp_path / "tiny"
    mount(cache, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    original = write_rom(tmp_path / "painter", 1200 * KIB)
    remote, filler = bucket.sync(original), cache / "filler"
    disk = make_disk(cache)
    disk.survey(remote)
    served = proxy.notes.served_bytes

    def fill(total: int) -> None:
        if total - served > 300 * KIB and not filler.exists():
            filler.write_bytes(b"x" * 1200 * KIB)

    proxy.notes.on_served = fill
    with pytest.raises(DiskUnavailable, match="No space left on device"):
        disk.pull(remote)
    filler.unlink()
    proxy.forget()
    assert same_files(disk.pull(remote).directory, original)
    disk.close()


def test_who_asks_is_told_what_was_downloaded(bucket: Bucket, cache: Path, proxy: FaultProxy, tmp_path: Path) -> None:
    received: list[int] = []
    disk = RomDisk(cache, transfer=TRANSFER, patience=PATIENCE, hooks=Hooks(on_received=received.append))
    remote = bucket.sync(write_rom(tmp_path / "painter", 100 * KIB))
    for _ in range(2):
        disk.pull(remote)
    disk.close()
    assert sum(received) == proxy.notes.served_bytes


def test_unreachable_store_is_named(tmp_path: Path) -> None:
    store = S3Store.parse("s3://bucket/roms/?region=us-east-1&endpoint_url=http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match=r"s3://bucket/roms/.* cannot be read: Could not connect"):
        store.list_roms()
