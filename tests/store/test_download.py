"""ROMs come from S3 to the disk: whole, verified, once, whatever the network does."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import ManifestError, NotReady, StoreUnavailable
from app.roms.catalog import read_rom
from app.roms.disk import RomDisk
from tests.support.buckets import KIB, PATIENCE, Bucket, make_disk, same_files, write_noise, write_rom
from tests.support.fault_proxy import Fault, FaultProxy, Request
from tests.support.headers import write_safetensors
from tests.support.roms import MODELS, describe_file, write_manifest

UNET = "unet/model.safetensors"


@pytest.fixture
def painter(tmp_path: Path) -> Path:
    return write_rom(tmp_path / "painter")


def test_synced_directory_arrives_as_it_is(bucket: Bucket, disk: RomDisk, painter: Path) -> None:
    progress: list[tuple[int, int]] = []
    rom = disk.pull(bucket.sync(painter), lambda done, total: progress.append((done, total)))
    assert same_files(rom.directory, painter)
    assert rom.components == read_rom(painter).components
    assert rom.id == "painter"
    assert progress[-1] == (sum(path.stat().st_size for path in painter.rglob("*") if path.is_file()),) * 2
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_survey_knows_the_rom_before_its_weights_are_here(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path
) -> None:
    write_noise(painter / UNET, 1024 * KIB, seed=5)
    remote = bucket.sync(painter)
    rom = disk.survey(remote)
    assert rom.components == read_rom(painter).components
    assert proxy.notes.requested_bytes(UNET) <= 256 * KIB
    assert disk.remaining_bytes(remote) == sum(path.stat().st_size for path in painter.rglob("*.safetensors"))
    assert not disk.is_whole(rom)
    assert disk.pull(remote).directory == rom.directory
    assert disk.remaining_bytes(remote) == 0
    assert disk.is_whole(rom)


def test_long_header_is_read_to_its_end(bucket: Bucket, disk: RomDisk, tmp_path: Path) -> None:
    painter = write_rom(tmp_path / "painter")
    write_safetensors(painter / UNET, {"weight": (10,)}, header_bytes=300 * KIB)
    assert disk.survey(bucket.sync(painter)).components == read_rom(painter).components


def test_only_what_is_loaded_is_downloaded(bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path) -> None:
    for name in ("unet/model.fp16.safetensors", "safety_checker/model.safetensors", "v1-5-pruned.safetensors"):
        write_noise(painter / name, 100 * KIB, seed=9)
    (painter / "unet" / "model.onnx").write_bytes(b"x" * 1000)
    rom = disk.pull(bucket.sync(painter))
    asked = {request.key for request in proxy.notes.requests}
    assert not [key for key in asked if key.endswith((".fp16.safetensors", "pruned.safetensors", ".onnx"))]
    assert not [key for key in asked if "safety_checker" in key]
    assert rom.components == read_rom(painter).components


def test_second_start_asks_for_no_object(
    bucket: Bucket, disk: RomDisk, cache: Path, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk.pull(remote)
    proxy.forget()
    again = make_disk(cache)
    assert again.survey(bucket.rom("painter")).components == read_rom(painter).components
    again.pull(remote)
    again.close()
    assert proxy.notes.requests == []


def test_files_that_roms_share_are_downloaded_and_kept_once(
    bucket: Bucket, disk: RomDisk, cache: Path, proxy: FaultProxy, painter: Path, tmp_path: Path
) -> None:
    sibling = write_rom(tmp_path / "sibling", unet_bytes=200 * KIB, seed=1)
    shared = "text_encoder/model.safetensors"
    (sibling / shared).write_bytes((painter / shared).read_bytes())
    for rom in (painter, sibling):
        write_manifest(rom, family="stable_diffusion", files=[describe_file(rom, shared)])
    first = disk.pull(bucket.sync(painter))
    proxy.forget()
    second = disk.pull(bucket.sync(sibling))
    assert proxy.notes.requested_bytes(shared) == 0
    assert (first.directory / shared).resolve() == (second.directory / shared).resolve()
    assert not Path((first.directory / shared).readlink()).is_absolute()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", after=10 * KIB),
        Fault("reset"),
        Fault("truncate", after=20 * KIB),
        Fault("truncate"),
        Fault("status", status=503),
        Fault("status", status=500),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.after or fault.status}",
)
def test_fault_that_passes_is_recovered_from(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path, fault: Fault
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    proxy.notes.faults.extend([None, fault, None, fault, fault])
    assert same_files(disk.pull(remote).directory, painter)
    assert not proxy.notes.faults


@pytest.mark.parametrize("kind", ["reset", "truncate", "status"])
def test_fault_that_stays_is_one_clear_error(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path, kind: str
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    proxy.notes.faults.extend([Fault(kind)] * 200)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match=r"roms/painter/.* cannot be downloaded, tried 4 times: "):
        disk.pull(remote)
    proxy.notes.faults.clear()
    assert same_files(disk.pull(remote).directory, painter)


def test_connection_that_stalls_is_given_up_and_another_asked(
    bucket: Bucket, cache: Path, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk = make_disk(cache, patience=replace(PATIENCE, stall_timeout_s=1.0, attempts=20))
    disk.survey(remote)
    proxy.notes.faults.extend([None, Fault("stall", after=16 * KIB), Fault("stall")])
    assert same_files(disk.pull(remote).directory, painter)
    disk.close()


def test_connections_that_all_stall_are_one_clear_error(
    bucket: Bucket, cache: Path, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk = make_disk(cache, patience=replace(PATIENCE, stall_timeout_s=0.5, attempts=2))
    proxy.notes.faults.extend([Fault("stall")] * 200)
    with pytest.raises(StoreUnavailable, match=r"cannot be downloaded, tried 2 times: .*timed out"):
        disk.survey(remote)
    disk.close()


def test_wrong_bytes_are_noticed_and_fetched_again(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    proxy.notes.faults.extend([None, Fault("garble", after=1000)])
    assert same_files(disk.pull(remote).directory, painter)


@pytest.mark.parametrize("has_digests", [True, False], ids=["manifest", "s3"])
def test_bytes_that_stay_wrong_are_refused(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path, has_digests: bool
) -> None:
    if has_digests:
        files = [describe_file(painter, f"{name}/model.safetensors") for name in MODELS]
        write_manifest(painter, family="stable_diffusion", files=files)
    remote = bucket.sync(painter)
    disk.survey(remote)
    proxy.notes.faults.extend([Fault("garble")] * 200)
    with pytest.raises(ManifestError, match=f"the checksum that {'the manifest' if has_digests else 'S3'} tells"):
        disk.pull(remote)


def test_object_that_is_not_what_the_manifest_says_is_refused(bucket: Bucket, disk: RomDisk, painter: Path) -> None:
    write_manifest(painter, family="stable_diffusion", files=[describe_file(painter, UNET)])
    data = bytearray((painter / UNET).read_bytes())
    data[-1] ^= 1
    (painter / UNET).write_bytes(data)
    with pytest.raises(ManifestError, match=f"{UNET} does not have the checksum"):
        disk.pull(bucket.sync(painter))


def test_manifest_and_objects_disagree_before_anything_large_is_fetched(
    bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path
) -> None:
    write_manifest(painter, family="stable_diffusion", files=[describe_file(painter, UNET)])
    write_noise(painter / UNET, 100 * KIB, seed=3)
    with pytest.raises(ManifestError, match=r"has \d+ bytes, the manifest says \d+"):
        disk.survey(bucket.sync(painter))
    assert proxy.notes.requested_bytes(UNET) == 0


@pytest.mark.parametrize("name", ["a b+c.json", "100%20.json", "größe.json", "a&b=c?d#e.json"])
def test_names_of_files_are_kept_as_they_are(bucket: Bucket, disk: RomDisk, painter: Path, name: str) -> None:
    (painter / "tokenizer" / name).write_text("{}", encoding="utf-8")
    assert same_files(disk.pull(bucket.sync(painter)).directory, painter)


def test_ranges_may_arrive_in_any_order(bucket: Bucket, disk: RomDisk, proxy: FaultProxy, painter: Path) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    later = threading.Event()

    def hold_the_first_back(request: Request) -> None:
        if request.key.endswith(UNET):
            if request.start:
                later.set()
            else:
                assert later.wait(10)

    proxy.notes.before = hold_the_first_back
    assert same_files(disk.pull(remote).directory, painter)


def test_stopping_breaks_off_and_the_next_start_goes_on(
    bucket: Bucket, cache: Path, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk = make_disk(cache)
    disk.survey(remote)
    served = proxy.notes.served_bytes
    stopper, once = threading.Thread(target=disk.close), threading.Lock()

    def stop_in_the_middle(total: int) -> None:
        if total - served > 500 * KIB and once.acquire(blocking=False):
            stopper.start()

    proxy.notes.on_served = stop_in_the_middle
    with pytest.raises(NotReady, match="stopping"):
        disk.pull(remote)
    stopper.join()
    proxy.forget()
    again = make_disk(cache)
    assert same_files(again.pull(remote).directory, painter)
    again.close()
    assert 0 < proxy.notes.requested_bytes(UNET) < 1024 * KIB


def test_damaged_partial_costs_a_range_and_no_more(
    bucket: Bucket, disk: RomDisk, cache: Path, proxy: FaultProxy, painter: Path
) -> None:
    remote = bucket.sync(painter)
    disk.survey(remote)
    proxy.notes.faults.extend([None] * 12 + [Fault("reset")] * 200)
    with pytest.raises(StoreUnavailable):
        disk.pull(remote)
    journal = max((cache / "partial").glob("*.part"), key=lambda path: path.stat().st_size).with_suffix(".journal")
    done = [int(line.split()[0]) for line in journal.read_text().splitlines()[1:]]
    with journal.with_suffix(".part").open("r+b") as file:
        file.seek(done[0] * 64 * KIB + 100)
        file.write(b"not what was downloaded")
    proxy.forget()
    assert same_files(disk.pull(remote).directory, painter)
    asked = {request.start // (64 * KIB) for request in proxy.notes.requests if request.key.endswith(UNET)}
    assert asked & {*done} == {done[0]}


def test_every_blob_is_called_by_its_content(bucket: Bucket, disk: RomDisk, cache: Path, painter: Path) -> None:
    rom = disk.pull(bucket.sync(painter))
    unet = (rom.directory / UNET).resolve()
    assert unet.parent == cache / "blobs"
    assert unet.name == hashlib.sha256((painter / UNET).read_bytes()).hexdigest()
