"""Archives of ROMs are unpacked once, and nothing in them gets out of its folder."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import ManifestError
from app.roms.archives import Bounds, unpack
from app.roms.library import RomLibrary
from app.roms.store import FileStore
from tests.support.roms import write_diffusers_directory, write_manifest

Entry = Callable[[tarfile.TarFile], None]


def pack(path: Path, directory: Path, arcname: str = ".") -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        archive.add(directory, arcname)
    return path


def add_file(name: str, data: bytes = b"x") -> Entry:
    def add(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))

    return add


def add_special(name: str, kind: bytes, target: str = "") -> Entry:
    def add(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)

    return add


def make_archive(path: Path, *entries: Entry) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        add_file("rom.yaml", b"{id: odd, family: fake}")(archive)
        for entry in entries:
            entry(archive)
    return path


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar"])
def test_archive_of_a_rom_is_a_rom(tmp_path: Path, suffix: str) -> None:
    models = tmp_path / "models"
    models.mkdir()
    pack(models / f"painter{suffix}", write_diffusers_directory(tmp_path / "painter"))
    (rom,) = RomLibrary([FileStore(models, tmp_path / "unpacked")]).catalog
    assert rom.id == "painter"
    assert rom.num_parameters == 30


def test_archive_of_several_roms_gives_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_manifest(tmp_path / "all" / name)
    (tmp_path / "models").mkdir()
    pack(tmp_path / "models" / "model.tar.gz", tmp_path / "all")
    assert [rom.id for rom in RomLibrary([FileStore(tmp_path / "models", tmp_path / "unpacked")]).catalog] == ["a", "b"]


def test_archive_is_unpacked_once_and_again_when_it_changes(tmp_path: Path) -> None:
    archive = pack(tmp_path / "fake.tar.gz", write_manifest(tmp_path / "fake"))
    first = unpack(archive, tmp_path / "unpacked")
    (first / "mark").touch()
    assert (unpack(archive, tmp_path / "unpacked") / "mark").exists()
    pack(archive, write_manifest(tmp_path / "fake", title="a longer one"))
    os.utime(archive, (1000, 1000))
    assert unpack(archive, tmp_path / "unpacked") != first


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (add_file("/tmp/escaped"), "leads out of it"),
        (add_file("../escaped"), "leads out of it"),
        (add_file("unet/../../escaped"), "leads out of it"),
        (add_special("link", tarfile.SYMTYPE, "/etc/passwd"), "no plain file or folder"),
        (add_special("link", tarfile.LNKTYPE, "../escaped"), "no plain file or folder"),
        (add_special("null", tarfile.CHRTYPE), "no plain file or folder"),
        (add_special("disk", tarfile.BLKTYPE), "no plain file or folder"),
        (add_special("pipe", tarfile.FIFOTYPE), "no plain file or folder"),
        (add_file("x" * 300), "more than 255 bytes"),
        (add_file("rom.yaml/config.json"), "as a file and as a folder"),
    ],
)
def test_entry_that_has_no_business_there_is_refused(tmp_path: Path, entry: Entry, reason: str) -> None:
    archive = make_archive(tmp_path / "odd.tar.gz", entry)
    with pytest.raises(ManifestError, match=reason):
        unpack(archive, tmp_path / "unpacked")
    assert [path for path in (tmp_path / "unpacked").iterdir() if path.is_dir()] == []
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    "second", [add_special("unet", tarfile.DIRTYPE), add_file("unet/config.json"), add_file("unet")]
)
def test_name_that_comes_twice_is_refused(tmp_path: Path, second: Entry) -> None:
    entries = [add_file("unet"), second]
    with pytest.raises(ManifestError, match="as a file and as a folder"):
        unpack(make_archive(tmp_path / "odd.tar.gz", *entries), tmp_path / "unpacked")


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "bomb.tar.gz", add_file("zeros", bytes(2_000_000)))
    assert archive.stat().st_size < 10_000
    with pytest.raises(ManifestError, match="more than 1000000 bytes"):
        unpack(archive, tmp_path / "unpacked", Bounds(nbytes=1_000_000))


def test_archive_of_too_many_entries_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "bomb.tar.gz", *[add_file(str(number), b"") for number in range(100)])
    with pytest.raises(ManifestError, match="more than 50 entries"):
        unpack(archive, tmp_path / "unpacked", Bounds(entries=50))


def test_entry_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """A header that promises more than follows."""
    member = tarfile.TarInfo("rom.yaml")
    member.size = 10_000_000
    path = tmp_path / "odd.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf() + b"short"))
    with pytest.raises(ManifestError, match="no sound archive"):
        unpack(path, tmp_path / "unpacked")


@pytest.mark.parametrize("damage", [b"not an archive at all", b"", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive_breaks_itself_alone(tmp_path: Path, damage: bytes) -> None:
    models = write_manifest(tmp_path / "models" / "fine").parent
    (models / "odd.tar.gz").write_bytes(damage)
    catalog = RomLibrary([FileStore(models, tmp_path / "unpacked")]).catalog
    assert [rom.id for rom in catalog] == ["fine"]
    assert "odd.tar.gz" in catalog.quarantined["odd"]


def test_archive_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "odd.tar.gz", add_file("weights", os.urandom(100_000)))
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(ManifestError, match="no sound archive"):
        unpack(archive, tmp_path / "unpacked")


@pytest.mark.parametrize("size", [100_000_000, -512])
def test_header_that_would_fill_memory_is_refused(tmp_path: Path, size: int) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, size
    path = tmp_path / "odd.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1_000_000)))
    with pytest.raises(ManifestError, match="no sound archive: a header of an unlikely size"):
        unpack(path, tmp_path / "unpacked")


def test_archive_without_a_rom_is_named(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "notes").mkdir()
    pack(models / "notes.tar", tmp_path / "notes")
    store = FileStore(models, tmp_path / "unpacked")
    assert store.directories() == []
    assert store.broken == {"notes": "notes.tar has neither rom.yaml nor model_index.json"}
