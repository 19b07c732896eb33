"""`roms push`: a directory of ROMs to S3, each file with its digest, what makes a ROM a ROM last."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from boto3.s3.transfer import TransferConfig

from app.errors import CartridgeError
from app.roms.catalog import read_rom
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME, RomManifest, read_json, read_manifest
from app.roms.selection import select
from app.roms.store import FileStore, open_store
from app.roms.weights import sha256_of
from deploy.sagemaker.calls import Calls
from deploy.sagemaker.errors import DeployError

DIGEST_KEY = "sha256"  # of an object's metadata
_TRANSFER = TransferConfig(multipart_threshold=64 * 1024**2, multipart_chunksize=64 * 1024**2, max_concurrency=8)


@dataclass
class Pushed:
    """What a push did."""

    uploaded: list[str] = field(default_factory=list)  # keys
    skipped: int = 0  # files that were there with the same digest
    stale: list[str] = field(default_factory=list)  # keys below a ROM's prefix that are no file of it; they stay


@dataclass(frozen=True)
class _File:
    path: str  # in the ROM
    source: Path
    sha256: str

    @property
    def nbytes(self) -> int:
        return self.source.stat().st_size


def push_roms(calls: Calls, directory: str, target: str, kms_key: str | None = None) -> Pushed:
    """Raises DeployError, before anything is uploaded where a ROM is broken or has an empty file."""
    bucket, prefix = urlsplit(target).netloc, urlsplit(target).path.lstrip("/")
    done = Pushed()
    with tempfile.TemporaryDirectory(prefix="cartridge-push-") as written:
        roms = {rom.name: _files(rom, Path(written)) for rom in _directories(directory)}
        for files in roms.values():
            _refuse_empty(files)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        for name, files in roms.items():
            _push_rom(calls, bucket, f"{prefix}{name}/", files, encryption, done)
    return done


def _directories(directory: str) -> list[Path]:
    """Of whole ROMs. Raises DeployError where one is broken, or there is none."""
    try:
        store = open_store(directory)
        if not isinstance(store, FileStore):
            raise DeployError(f"{directory} is no directory")
        paths = store.directories()
        for path in paths:
            if path.is_file():
                raise DeployError(f"{path} is a model in one file: give it a directory of its own, with a rom.yaml")
            read_rom(path)
    except CartridgeError as error:
        raise DeployError(f"{directory}: {error.message}") from error
    if not paths:
        raise DeployError(f"{directory} holds no ROM: neither {MANIFEST_NAME} nor {INDEX_NAME} in any folder of it")
    return paths


def _files(rom: Path, written: Path) -> list[_File]:
    """What is uploaded of a ROM, in this order: a half of it is never a whole ROM to anyone who lists.

    The store takes a prefix for a ROM when rom.yaml or model_index.json is there. The first of the two, rom.yaml, tells
    the digests of all others, so that without the second the ROM counts as broken.
    """
    manifest = read_manifest(rom)
    paths = [str(path.relative_to(rom)) for path in sorted(rom.rglob("*")) if path.is_file()]
    index = read_json(rom / INDEX_NAME) if (rom / INDEX_NAME).exists() else {}
    chosen = select([path for path in paths if path != MANIFEST_NAME], index, manifest)
    names = [name for name in (*chosen.large, *chosen.small) if name not in (MANIFEST_NAME, INDEX_NAME)]
    names += [INDEX_NAME] if index else []
    files = [_File(name, rom / name, sha256_of(rom / name)) for name in names]
    told = _write_manifest(rom, manifest, files, written / rom.name)
    files.insert(len(files) - bool(index), _File(MANIFEST_NAME, told, sha256_of(told)))
    return files


def _write_manifest(rom: Path, manifest: RomManifest, files: list[_File], written: Path) -> Path:
    """The ROM's own manifest where it tells all digests, else the same with them."""
    own = rom / MANIFEST_NAME
    if own.exists() and {file.path for file in files} <= {file.path for file in manifest.files}:
        return own
    least = {"id": manifest.id, "title": manifest.title, "family": manifest.family}
    content: dict[str, Any] = yaml.safe_load(own.read_text(encoding="utf-8")) if own.exists() else least
    content["files"] = [{"path": file.path, "bytes": file.nbytes, "sha256": file.sha256} for file in files]
    written.mkdir()
    target = written / MANIFEST_NAME
    target.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return target


def _refuse_empty(files: list[_File]) -> None:
    for file in files:
        if file.nbytes == 0:
            raise DeployError(
                f"{file.source} is empty: SageMaker takes a key of no bytes for a folder; remove the file"
            )


def _push_rom(
    calls: Calls, bucket: str, prefix: str, files: list[_File], encryption: dict[str, str], done: Pushed
) -> None:
    for file in files:
        key = prefix + file.path
        if _is_there(calls, bucket, key, file):
            done.skipped += 1
            continue
        with _steady(file):
            calls.change(
                "s3",
                "upload_file",
                Filename=os.path.relpath(file.source) if not calls.dry_run else file.path,
                Bucket=bucket,
                Key=key,
                ExtraArgs={"Metadata": {DIGEST_KEY: file.sha256}, **encryption},
                **({} if calls.dry_run else {"Config": _TRANSFER}),
            )
        done.uploaded.append(key)
    known = {prefix + file.path for file in files}
    listed = calls.pages("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)
    done.stale += [item["Key"] for item in listed if item["Key"] not in known]


@contextmanager
def _steady(file: _File) -> Iterator[None]:
    """Raises DeployError where the file has changed meanwhile, so that its digest would lie."""
    before = file.source.stat()
    yield
    after = file.source.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DeployError(f"{file.source} changed while it was uploaded; push again")


def _is_there(calls: Calls, bucket: str, key: str, file: _File) -> bool:
    head = calls.find("s3", "head_object", Bucket=bucket, Key=key)
    return head is not None and head["ContentLength"] == file.nbytes and head["Metadata"].get(DIGEST_KEY) == file.sha256
