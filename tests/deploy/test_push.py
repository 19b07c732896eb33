"""Image and ROMs on their way: nothing twice, nothing half."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.image import CUDA_LABEL
from deploy.sagemaker.registry import LIFECYCLE, Push, push
from deploy.sagemaker.rom_push import push_roms
from deploy.sagemaker.sizes import read_source
from tests.deploy.conftest import BUCKET, LABELS, Interrupted, Record, Recorder, manifest_text
from tests.support.aws_stub import AwsStub
from tests.support.buckets import write_rom

TARGET = f"s3://{BUCKET}/roms/"
CONFIG_DIGEST = f"sha256:{'d' * 64}"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aws: AwsStub) -> Path:
    """A `docker` on PATH that notes its calls in this file, and whose push brings an image."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = Path(__file__).parent.parent / "support" / "fake_docker.py"
    (folder / "docker").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER_NOTES", str(tmp_path / "docker.jsonl"))
    monkeypatch.setenv("FAKE_DOCKER_MANIFEST", str(tmp_path / "manifest.json"))
    (tmp_path / "manifest.json").write_text(manifest_text(CONFIG_DIGEST), encoding="utf-8")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    aws.script.blobs[CONFIG_DIGEST] = {"architecture": "amd64", "config": {"Labels": LABELS}}
    return tmp_path / "docker.jsonl"


def notes(docker: Path) -> list[dict[str, Any]]:
    lines = docker.read_text(encoding="utf-8").splitlines() if docker.exists() else []
    return [json.loads(line) for line in lines]


def test_an_image_is_built_and_pushed_once(docker: Path, calls: Recorder, record: Record, tmp_path: Path) -> None:
    what = Push("cartridge", "0.1.0", dockerfile=tmp_path / "Dockerfile")
    image = push(calls, what)
    assert image is not None and "/cartridge@sha256:" in image.uri
    assert calls.changes == ["ecr.create_repository", "ecr.put_lifecycle_policy"]
    build, login, pushed = notes(docker)
    assert build["arguments"][:6] == ["buildx", "build", "--platform", "linux/amd64", "--provenance=false", "--output"]
    assert "PLATFORM=linux/amd64" in build["arguments"] and "FLAVOUR=cpu" in build["arguments"]
    assert login["arguments"][0] == "login" and login["secret"]
    assert login["secret"] not in "\n".join(calls.shown)
    assert pushed["arguments"] == ["push", "123456789012.dkr.ecr.us-east-1.amazonaws.com/cartridge:0.1.0"]
    again = record()
    assert push(again, what) == image
    assert again.changes == [] and len(notes(docker)) == 3


def test_an_image_with_cuda_says_which(docker: Path, calls: Recorder, tmp_path: Path) -> None:
    push(calls, Push("cartridge", "0.1.0", flavour="cu126", dockerfile=tmp_path / "Dockerfile"))
    assert f"{CUDA_LABEL}=12.6" in notes(docker)[0]["arguments"]


def test_a_flavour_that_torch_does_not_have_is_named(docker: Path, calls: Recorder, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="flavour: 'gpu'"):
        push(calls, Push("cartridge", "0.1.0", flavour="gpu", dockerfile=tmp_path / "Dockerfile"))


@pytest.mark.parametrize("subcommand", ["build", "login", "push"])
def test_a_push_that_fails_says_where_and_goes_on(
    docker: Path, calls: Recorder, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subcommand: str
) -> None:
    what = Push("cartridge", "0.1.0", dockerfile=tmp_path / "Dockerfile")
    monkeypatch.setenv("FAKE_DOCKER_FAILS", subcommand)
    with pytest.raises(DeployError, match=rf"docker.* {subcommand} .*ended with status 1"):
        push(calls, what)
    monkeypatch.delenv("FAKE_DOCKER_FAILS")
    again = record()
    assert push(again, what) is not None
    assert again.changes == []


def test_a_push_completes_wherever_it_was_interrupted(docker: Path, record: Record, tmp_path: Path) -> None:
    what = Push("cartridge", "0.1.0", dockerfile=tmp_path / "Dockerfile")
    for _ in range(2):  # repository, then lifecycle policy
        with pytest.raises(Interrupted):
            push(record(ends_after=0), what)
    last = record()
    assert push(last, what) is not None
    assert last.changes == []


def test_what_a_push_needs_is_told(
    docker: Path, calls: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeployError, match="none is missing: push from a checkout"):
        push(calls, Push("cartridge", "0.1.0", dockerfile=tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match="docker is not installed"):
        push(calls, Push("cartridge", "0.1.0", dockerfile=tmp_path / "Dockerfile"))


def test_only_images_without_a_tag_expire() -> None:
    assert [rule["selection"]["tagStatus"] for rule in LIFECYCLE["rules"]] == ["untagged"]  # type: ignore[index]


def test_a_repository_of_others_keeps_its_lifecycle_policy(docker: Path, calls: Recorder, tmp_path: Path) -> None:
    calls.client("ecr").create_repository(repositoryName="cartridge")
    assert push(calls, Push("cartridge", "0.1.0", dockerfile=tmp_path / "Dockerfile")) is not None
    assert calls.changes == []
    assert any("its lifecycle policy is left as it is" in line for line in calls.shown)


@pytest.fixture
def s3(calls: Recorder) -> Any:
    client = calls.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def store(rom_store: Path) -> Path:
    """Two ROMs: one whose manifest tells digests, and a plain directory."""
    write_rom(rom_store / "plain", unet_bytes=40_000)
    return rom_store


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_roms_are_pushed_once_and_whole(s3: Any, calls: Recorder, record: Record, store: Path) -> None:
    pushed = push_roms(calls, str(store), TARGET)
    assert sorted(pushed.uploaded) == keys(s3)
    assert "roms/upscaler/README.md" not in keys(s3)
    again = record()
    assert push_roms(again, str(store), TARGET).uploaded == []
    assert again.changes == []
    found = read_source(TARGET, "us-east-1")
    assert list(found.sizes) == ["upscaler"]
    assert found.broken == {"plain": "unet/config.json does not say block_out_channels"}


def test_a_file_that_changed_is_sent_again(s3: Any, calls: Recorder, record: Record, store: Path) -> None:
    push_roms(calls, str(store), TARGET)
    (store / "plain" / "scheduler" / "scheduler_config.json").write_text('{"a": 1}', encoding="utf-8")
    assert push_roms(record(), str(store), TARGET).uploaded == [
        "roms/plain/scheduler/scheduler_config.json",
        "roms/plain/rom.yaml",
    ]


def test_a_half_pushed_rom_is_never_seen_whole(s3: Any, calls: Recorder, record: Record, store: Path) -> None:
    rom = str(store / "plain")
    whole = set(push_roms(calls, rom, TARGET).uploaded)
    for number in range(len(calls.changes)):
        for key in keys(s3):
            s3.delete_object(Bucket=BUCKET, Key=key)
        with pytest.raises(Interrupted):
            push_roms(record(ends_after=number), rom, TARGET)
        assert ("roms/plain/model_index.json" in keys(s3)) == (set(keys(s3)) == whole)
        push_roms(record(), rom, TARGET)
        assert set(keys(s3)) == whole


def test_a_rom_without_its_index_is_broken_to_the_service(s3: Any, calls: Recorder, store: Path) -> None:
    push_roms(calls, str(store), TARGET)
    s3.delete_object(Bucket=BUCKET, Key="roms/upscaler/model_index.json")
    assert "upscaler" in read_source(TARGET, "us-east-1").broken


def test_keys_of_no_bytes_are_never_made(s3: Any, calls: Recorder, store: Path) -> None:
    (store / "plain" / "tokenizer" / "merges.txt").touch()
    with pytest.raises(DeployError, match=r"merges\.txt is empty"):
        push_roms(calls, str(store), TARGET)
    assert keys(s3) == []


def test_what_is_left_of_earlier_pushes_is_told_and_stays(s3: Any, calls: Recorder, store: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="roms/plain/old.safetensors", Body=b"1")
    assert push_roms(calls, str(store), TARGET).stale == ["roms/plain/old.safetensors"]
    assert "roms/plain/old.safetensors" in keys(s3)


def test_a_file_that_changes_while_it_is_sent_is_told(
    s3: Any, calls: Recorder, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = calls.client("s3").upload_file

    def send_and_touch(**asked: Any) -> None:
        send(**asked)
        Path(asked["Filename"]).touch()

    monkeypatch.setattr(calls.client("s3"), "upload_file", send_and_touch, raising=False)
    with pytest.raises(DeployError, match="changed while it was uploaded"):
        push_roms(calls, str(store), TARGET)


def test_a_bucket_that_is_not_there_is_told(calls: Recorder, rom_store: Path) -> None:
    with pytest.raises(DeployError, match=r"s3\.upload_file: .*NoSuchBucket"):
        push_roms(calls, str(rom_store), TARGET)


def test_what_is_no_rom_is_refused(s3: Any, calls: Recorder, store: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeployError, match="holds no ROM"):
        push_roms(calls, str(tmp_path / "empty"), TARGET)
    with pytest.raises(DeployError, match="is not a directory"):
        push_roms(calls, str(tmp_path / "none"), TARGET)
    (store / "upscaler" / "upscaler" / "config.json").unlink()
    with pytest.raises(DeployError, match="missing"):
        push_roms(calls, str(store), TARGET)
    assert calls.changes == []


def test_objects_may_be_encrypted_with_a_key(s3: Any, calls: Recorder, rom_store: Path) -> None:
    push_roms(calls, str(rom_store), TARGET, kms_key="arn:aws:kms:us-east-1:123456789012:key/0")
    head = s3.head_object(Bucket=BUCKET, Key="roms/upscaler/rom.yaml")
    assert head["ServerSideEncryption"] == "aws:kms"
