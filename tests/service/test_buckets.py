"""ROMs in a bucket: brought at the start or when first asked for, kept on disk, shared in memory."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.running import wait_until
from tests.service.conftest import Start
from tests.support.buckets import Bucket
from tests.support.fault_proxy import FaultProxy, Request
from tests.support.loras import write_lora_rom
from tests.support.roms import describe_file, write_manifest
from tests.support.serving import PATIENCE_S, Serving, problem
from tests.support.single_files import write_single_file_rom
from tests.support.tiny_rom import TinyRom, build_tiny_rom

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
ASKED: dict[str, Any] = {"prompt": "a red star", "num_inference_steps": 2, "seed": 3}


@pytest.fixture
def gate(proxy: FaultProxy) -> Iterator[threading.Event]:
    """While it is not set, no U-Net leaves the bucket."""
    opened = threading.Event()
    opened.set()

    def hold(request: Request) -> None:
        if "unet/" in request.key:
            assert opened.wait(PATIENCE_S)

    proxy.notes.before = hold
    yield opened
    opened.set()


def states(service: Serving) -> dict[str, str]:
    return {rom["id"]: rom["state"] for rom in service.http.get("/info").json()["roms"]}


def start_on(start: Start, bucket: Bucket, cache: Path, **environment: str) -> Serving:
    environment = {"CARTRIDGE_ROM_SOURCES": bucket.source, "CARTRIDGE_CACHE_DIR": str(cache), **environment}
    return start(**environment)


def test_roms_of_a_bucket_are_brought_once_and_serve_what_they_serve_from_a_directory(
    start: Start, bucket: Bucket, proxy: FaultProxy, tiny_rom: Path, tmp_path: Path, service: Serving
) -> None:
    bucket.sync(tiny_rom)
    bucket.put("roms/", b"")
    bucket.put("roms/tiny/", b"")
    first = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_READY="all").until_ready()
    assert states(first) == {"tiny": "resident"}
    picture = first.invoke(**ASKED).json()["images"]
    assert picture == service.invoke(model="tiny", **ASKED).json()["images"]
    weights = sum(path.stat().st_size for path in tiny_rom.rglob("*.safetensors"))
    assert first.metric("cartridge_download_bytes_total") >= weights
    assert [line["rom"] for line in first.events("rom_pulled")] == ["tiny"]
    first.local.process.terminate()
    first.local.process.wait(PATIENCE_S)
    proxy.forget()
    second = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_READY="all").until_ready()
    assert second.invoke(**ASKED).json()["images"] == picture
    assert proxy.notes.requested_bytes() == 0


def test_a_rom_that_is_not_preloaded_is_brought_when_it_is_asked_for(
    start: Start, bucket: Bucket, tiny_rom: Path, tmp_path: Path
) -> None:
    bucket.sync(tiny_rom)
    service = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_PRELOAD="none").until_ready()
    assert states(service) == {"tiny": "remote"}
    (described,) = service.http.get("/info").json()["roms"]
    assert described["parameters"] > 0
    assert described["missing_bytes"] > described["parameters"]
    answer = service.invoke(**ASKED)
    assert answer.status_code == 200, answer.text
    assert answer.json()["timings"]["load_s"] > 0
    assert states(service) == {"tiny": "resident"}


def test_a_rom_that_cannot_come_in_time_is_503_and_comes_for_those_who_ask_later(
    start: Start, bucket: Bucket, tiny_rom: Path, tmp_path: Path, gate: threading.Event
) -> None:
    bucket.sync(tiny_rom)
    service = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_PRELOAD="none").until_ready()
    gate.clear()
    answer = service.invoke(**ASKED, timeout_s=1.0)
    assert "on its way" in problem(answer, 503, "not_ready")["message"]
    assert int(answer.headers["retry-after"]) >= 0
    assert states(service) == {"tiny": "pulling"}
    gate.set()
    wait_until(lambda: states(service) == {"tiny": "on_disk"}, PATIENCE_S)
    assert service.invoke(**ASKED).status_code == 200


def test_a_request_is_cancelled_while_its_rom_is_on_its_way(
    start: Start, bucket: Bucket, tiny_rom: Path, tmp_path: Path, gate: threading.Event
) -> None:
    bucket.sync(tiny_rom)
    service = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_PRELOAD="none").until_ready()
    gate.clear()
    waiting = service.begin(**ASKED, request_id="r1")
    assert service.http.delete("/requests/r1").status_code == 200
    problem(waiting.result(PATIENCE_S), 499, "cancelled")
    gate.set()
    wait_until(lambda: states(service) == {"tiny": "on_disk"}, PATIENCE_S)


def test_a_broken_rom_stops_no_other_and_serves_once_it_is_mended(start: Start, bucket: Bucket, tmp_path: Path) -> None:
    sound, broken = (build_tiny_rom(tmp_path / name, TinyRom(seed=len(name))) for name in ("sound", "broken"))
    for directory in (sound, broken):
        write_manifest(directory, family="stable_diffusion", files=[describe_file(directory, WEIGHTS)])
        bucket.sync(directory)
    whole = (broken / WEIGHTS).read_bytes()
    bucket.put(f"roms/broken/{WEIGHTS}", whole[:-1] + bytes([whole[-1] ^ 1]))
    service = start_on(start, bucket, tmp_path / "cache").until_ready()
    wait_until(lambda: "broken" in service.http.get("/info").json()["quarantined"], PATIENCE_S)
    reason = service.http.get("/info").json()["quarantined"]["broken"]
    assert WEIGHTS in reason and "checksum" in reason
    assert service.invoke(model="sound", **ASKED).status_code == 200
    assert reason in problem(service.invoke(model="broken", **ASKED), 503, "rom_unavailable")["message"]
    bucket.put(f"roms/broken/{WEIGHTS}", whole)
    wait_until(lambda: "broken" in states(service), PATIENCE_S)
    assert service.invoke(model="broken", **ASKED).status_code == 200
    assert service.http.get("/info").json()["quarantined"] == {}


def test_a_bucket_that_cannot_be_read_is_tried_again_and_what_is_on_disk_serves_meanwhile(
    start: Start, bucket: Bucket, proxy: FaultProxy, tiny_rom: Path, tmp_path: Path
) -> None:
    missing = Bucket(bucket.client, "bucket-to-come", bucket.endpoint_url)
    service = start_on(start, missing, tmp_path / "cache")
    wait_until(lambda: bool(service.events("setup_failed")), PATIENCE_S)
    ping = service.http.get("/ping")
    assert (ping.status_code, ping.json()["status"]) == (503, "setup_failed")
    assert "NoSuchBucket" in ping.json()["reason"]
    missing.client.create_bucket(Bucket=missing.name)
    missing.sync(tiny_rom)
    wait_until(lambda: service.http.get("/ping").status_code == 200, PATIENCE_S)
    service.local.process.terminate()
    service.local.process.wait(PATIENCE_S)
    for path in tiny_rom.rglob("*"):
        if path.is_file():
            missing.client.delete_object(Bucket=missing.name, Key=f"roms/tiny/{path.relative_to(tiny_rom)}")
    missing.client.delete_bucket(Bucket=missing.name)
    again = start_on(start, missing, tmp_path / "cache").until_ready()
    assert again.invoke(**ASKED).status_code == 200
    assert "NoSuchBucket" in "".join(again.http.get("/info").json()["unreadable_sources"].values())


def test_loras_and_single_files_come_from_buckets_too(start: Start, bucket: Bucket, tmp_path: Path) -> None:
    painter = build_tiny_rom(tmp_path / "painter", TinyRom())
    write_lora_rom(tmp_path / "ink", painter)
    single = write_single_file_rom(tmp_path / "single", painter)
    for directory in (painter, tmp_path / "ink", single):
        bucket.sync(directory)
    service = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_PRELOAD="none").until_ready()
    assert states(service) == dict.fromkeys(("ink", "painter", "single"), "remote")
    pictures = {name: service.invoke(model=name, **ASKED).json()["images"][0]["b64_json"] for name in states(service)}
    assert pictures["single"] == pictures["painter"] != pictures["ink"]


def test_what_two_roms_have_in_common_is_brought_and_kept_once(start: Start, bucket: Bucket, tmp_path: Path) -> None:
    shapes, sketch = (build_tiny_rom(tmp_path / name, TinyRom()) for name in ("shapes", "sketch"))
    other = build_tiny_rom(tmp_path / "other", TinyRom(seed=1))
    shutil.copyfile(other / WEIGHTS, sketch / WEIGHTS)
    for directory in (shapes, sketch):
        files = [describe_file(directory, str(path.relative_to(directory))) for path in directory.rglob("*.*")]
        write_manifest(directory, family="stable_diffusion", files=files)
        bucket.sync(directory)
    service = start_on(start, bucket, tmp_path / "cache", CARTRIDGE_READY="all", CARTRIDGE_DTYPE="float32")
    service.until_ready()
    info = {rom["id"]: rom for rom in service.http.get("/info").json()["roms"]}
    unet_bytes = 4 * info["shapes"]["parameters"] - info["shapes"]["shared_bytes"]
    assert info["shapes"]["shared_bytes"] == info["sketch"]["shared_bytes"] > 0
    assert service.metric("cartridge_resident_bytes") == info["shapes"]["shared_bytes"] + 2 * unet_bytes
    blobs = [path.stat().st_size for path in (tmp_path / "cache" / "blobs").iterdir()]
    weights = {path.read_bytes() for directory in (shapes, sketch) for path in directory.rglob("*.safetensors")}
    large = {data for data in weights if len(data) > 20_000}
    assert sorted(size for size in blobs if size > 20_000) == sorted(map(len, large))
