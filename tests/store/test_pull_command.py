"""`cartridge roms pull`: a bucket's ROMs on the disk before a service asks for them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from app.roms.library import RomLibrary
from tests.support.buckets import KIB, Bucket, make_disk, write_rom
from tests.support.fault_proxy import FaultProxy

CARTRIDGE = Path(sys.executable).with_name("cartridge")


def pull(source: str, *rom_ids: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return run("pull", source, *rom_ids, cache=cache)


def run(*words: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [str(CARTRIDGE), "roms", *words]
    environ = {**os.environ, "CARTRIDGE_CACHE_DIR": str(cache)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_what_was_pulled_is_not_downloaded_again_by_who_asks_for_it(
    bucket: Bucket, cache: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    for name in ("painter", "potter"):
        bucket.sync(write_rom(tmp_path / name, 200 * KIB))
    done = pull(bucket.source, "painter", cache=cache)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["painter"]
    library = RomLibrary([bucket.store], make_disk(cache))
    library.read_buckets()
    missing = {rom.id: library.missing_bytes(rom) for rom in library.catalog}
    library.close()
    assert missing["painter"] == 0 < missing["potter"]


def test_a_person_who_watches_sees_how_far_it_is(bucket: Bucket, cache: Path, tmp_path: Path) -> None:
    bucket.sync(write_rom(tmp_path / "painter", 200 * KIB))
    ours, theirs = pty.openpty()
    command = [str(CARTRIDGE), "roms", "pull", bucket.source, "--cache-dir", str(cache)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = read_all(ours)
    assert process.returncode == 0, shown
    assert "painter" in shown
    assert "kB" in shown


def read_all(terminal: int) -> str:
    """What was written to it until nobody has it open any more, which Linux tells as an error."""
    pieces = []
    with open(terminal, "rb", buffering=0) as stream, suppress(OSError):
        while piece := stream.read(4096):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_what_cannot_be_pulled_is_named_and_the_rest_is_there(bucket: Bucket, cache: Path, tmp_path: Path) -> None:
    for name in ("painter", "potter"):
        bucket.sync(write_rom(tmp_path / name, 200 * KIB))
    bucket.put("roms/potter/rom.yaml", b"id: [")
    done = pull(bucket.source, cache=cache)
    assert done.returncode == 1
    assert done.stdout.startswith("painter  ")
    assert "potter: rom.yaml" in done.stderr


def test_a_bucket_is_listed_with_what_of_it_is_here(bucket: Bucket, cache: Path, tmp_path: Path) -> None:
    for name in ("painter", "potter"):
        bucket.sync(write_rom(tmp_path / name, 200 * KIB))
    pull(bucket.source, "painter", cache=cache)
    listed = run("list", bucket.source, cache=cache)
    assert listed.returncode == 0, listed.stderr
    states = {line.split()[0]: line.rpartition("  ")[2] for line in listed.stdout.splitlines()[1:]}
    assert states == {"painter": "on disk", "potter": "in the bucket"}


def test_wrong_names_are_one_line(bucket: Bucket, cache: Path, tmp_path: Path) -> None:
    bucket.sync(write_rom(tmp_path / "painter", 200 * KIB))
    for done, told in (
        (pull(bucket.source, "painted", cache=cache), "there is no ROM 'painted'; there are: painter"),
        (pull(bucket.source.replace(bucket.name, "nowhere"), cache=cache), "NoSuchBucket"),
        (pull("painter", cache=cache), "s3://"),
    ):
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
