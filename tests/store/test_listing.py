"""Which ROMs a bucket has, whatever else is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import ManifestError, SettingsError, StoreUnavailable
from app.roms.disk import RomDisk
from app.roms.s3 import S3Store
from app.roms.store import open_store
from tests.support.buckets import KIB, Bucket, make_disk, write_rom
from tests.support.roms import write_manifest


def names(bucket: Bucket) -> list[str]:
    return [rom.name for rom in bucket.store.list_roms()]


def test_prefixes_with_a_manifest_or_an_index_are_roms(bucket: Bucket, tmp_path: Path) -> None:
    bucket.sync(write_rom(tmp_path / "painter", 10 * KIB))
    bucket.sync(write_manifest(tmp_path / "fake"))
    for key in ("roms/notes.txt", "roms/not-a-rom/unet/model.safetensors", "other/rom.yaml", "rom.yaml"):
        bucket.put(key, b"x")
    assert names(bucket) == ["fake", "painter"]


def test_model_in_one_file_that_lies_by_itself_is_told_of(bucket: Bucket, disk: RomDisk, tmp_path: Path) -> None:
    bucket.sync(write_manifest(tmp_path / "fake"))
    for key in ("roms/dream.safetensors", "roms/fake.safetensors"):
        bucket.put(key, b"x")
    dream = bucket.rom("dream")
    with pytest.raises(ManifestError, match="needs a folder of its own"):
        disk.survey(dream)
    assert names(bucket) == ["fake", "dream"]


def test_prefix_that_is_a_rom_by_itself_is_a_store_of_one(bucket: Bucket, disk: RomDisk, tmp_path: Path) -> None:
    bucket.sync(write_manifest(tmp_path / "fake"))
    (remote,) = S3Store.parse(bucket.source.replace("/roms/", "/roms/fake")).list_roms()
    assert remote.name == "fake"
    assert disk.pull(remote).id == "fake"


def test_bucket_may_be_a_rom_by_itself(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("rom.yaml", b"{id: x, family: fake}")
    (remote,) = S3Store.parse(bucket.source.replace("/roms/", "")).list_roms()
    assert remote.name == bucket.name


@pytest.mark.parametrize("key", ["roms/", "roms/fake/", "roms/fake/unet/", "roms/fake/unet"])
def test_keys_that_stand_for_folders_are_ignored(bucket: Bucket, disk: RomDisk, tmp_path: Path, key: str) -> None:
    (write_manifest(tmp_path / "fake") / "unet").mkdir()
    (tmp_path / "fake" / "unet" / "config.json").write_text("{}")
    bucket.put(key, b"")
    remote = bucket.sync(tmp_path / "fake")
    assert remote.broken is None
    assert [file.path for file in remote.files] == ["rom.yaml", "unet/config.json"]
    assert disk.pull(remote).id == "fake"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("../secret", "'..' is no name"),
        ("unet/../../secret", "'..' is no name"),
        ("./rom.txt", "'.' is no name"),
        ("/etc/passwd", "'' is no name"),
        ("unet//config.json", "'' is no name"),
        ("unet/" + "é" * 128, "more than 255 bytes"),
        ("unet\\config.json", "backslash"),
        ("unet/con\u200bfig.json", "control character"),
        ("rom.yaml/config.json", "'rom.yaml' is a file and a folder"),
        ("unet/", "'' is no name"),
    ],
)
def test_odd_key_breaks_its_rom_and_no_other(
    bucket: Bucket, disk: RomDisk, cache: Path, tmp_path: Path, key: str, reason: str
) -> None:
    bucket.sync(write_manifest(tmp_path / "fine"))
    bucket.sync(write_manifest(tmp_path / "odd"))
    bucket.put(f"roms/odd/{key}", b"x")
    with pytest.raises(ManifestError, match=reason):
        disk.survey(bucket.rom("odd"))
    assert disk.survey(bucket.rom("fine")).id == "fine"
    assert not list(cache.rglob("secret"))


def test_more_objects_than_a_page_are_all_listed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    bucket.sync(write_manifest(tmp_path / "fake"))
    for number in range(9):
        bucket.put(f"roms/fake/{number}.txt", b"")
    assert bucket.client.list_objects_v2(Bucket=bucket.name)["IsTruncated"]
    assert len(bucket.rom("fake").files) == 10


def test_bucket_that_is_not_there_is_named(bucket: Bucket) -> None:
    with pytest.raises(StoreUnavailable, match=r"s3://no-such-bucket/roms/.* cannot be read: NoSuchBucket"):
        S3Store.parse(bucket.source.replace(bucket.name, "no-such-bucket")).list_roms()


def test_missing_credentials_are_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreUnavailable, match="credentials"):
        bucket.store.list_roms()


def test_rom_that_left_its_store_is_named(bucket: Bucket, cache: Path, tmp_path: Path) -> None:
    remote = bucket.sync(write_manifest(tmp_path / "fake"))
    bucket.client.delete_object(Bucket=bucket.name, Key="roms/fake/rom.yaml")
    disk = make_disk(cache)
    with pytest.raises(StoreUnavailable):
        disk.pull(remote)
    disk.close()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3://", "is not s3://bucket/prefix"),
        ("s3://Bucket_X/roms", "is not s3://bucket/prefix"),
        ("s3://bucket/roms?regoin=eu-west-1", "'regoin' is none of region, endpoint_url"),
        ("s3://bucket/roms?endpoint_url=localhost:9000", "endpoint_url must begin with http"),
        ("s3://bucket/roms#part", "is not s3://bucket/prefix"),
    ],
)
def test_malformed_address_is_refused(source: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        open_store(source)


def test_opening_reaches_for_nothing() -> None:
    store = open_store("s3://bucket/my%20roms?endpoint_url=http://127.0.0.1:9")
    assert isinstance(store, S3Store)
    assert store.prefix == "my roms/"
