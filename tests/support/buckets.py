"""ROMs in a bucket of a local S3, as `aws s3 sync` would put them there."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.roms.disk import RomDisk
from app.roms.download import Transfer
from app.roms.ranges import Patience
from app.roms.s3 import RemoteRom, S3Store
from tests.support.roms import MODELS, write_diffusers_directory

KIB = 1024
TRANSFER = Transfer(connections=4, range_bytes=64 * KIB, ranges_ahead=4)
PATIENCE = Patience(attempts=4, first_pause_s=0.005, longest_pause_s=0.02, stall_timeout_s=30.0)
_numbers = itertools.count()


@dataclass(frozen=True)
class Bucket:
    client: Any  # of boto3, past the proxy
    name: str
    endpoint_url: str  # the proxy

    @property
    def source(self) -> str:
        return f"s3://{self.name}/roms/?region=us-east-1&endpoint_url={quote(self.endpoint_url, safe='')}"

    @property
    def store(self) -> S3Store:
        return S3Store.parse(self.source)

    def sync(self, directory: Path, prefix: str | None = None) -> RemoteRom:
        """Upload a ROM; what the store then lists of it."""
        prefix = f"roms/{directory.name}" if prefix is None else prefix
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(directory)}", path.read_bytes())
        return self.rom(directory.name)

    def keys(self, prefix: str) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for entry in listed["Contents"]]

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def rom(self, name: str) -> RemoteRom:
        (found,) = [rom for rom in self.store.list_roms() if rom.name == name]
        return found


def make_bucket(client: Any, endpoint_url: str) -> Bucket:
    name = f"bucket-{next(_numbers)}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name, endpoint_url)


def write_rom(directory: Path, unet_bytes: int = 1024 * KIB, seed: int = 0) -> Path:
    """A Stable Diffusion directory whose weights are noise, each model's its own."""
    write_diffusers_directory(directory)
    for number, name in enumerate(MODELS):
        nbytes = unet_bytes if name == "unet" else 40 * KIB
        write_noise(directory / name / "model.safetensors", nbytes, seed * 10 + number)
    for name in ("scheduler/scheduler_config.json", "tokenizer/vocab.json"):
        (directory / name).write_text("{}", encoding="utf-8")
    return directory


def write_noise(path: Path, nbytes: int, seed: int) -> Path:
    """A safetensors file of random values."""
    header = json.dumps({"weight": {"dtype": "U8", "shape": [nbytes], "data_offsets": [0, nbytes]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(nbytes))
    return path


def make_disk(directory: Path, capacity_bytes: int = 0, patience: Patience = PATIENCE) -> RomDisk:
    return RomDisk(directory, capacity_bytes, transfer=TRANSFER, patience=patience)


def wrong_blobs(cache: Path) -> list[str]:
    """Blobs that are not what they are called."""
    blobs = (cache / "blobs").glob("*")
    return [blob.name for blob in blobs if hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name]


def same_files(rom: Path, original: Path) -> bool:
    """Whether every file of `rom` is as it was, and the weights are there."""
    files = [path for path in rom.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) >= 3
    return all(path.read_bytes() == (original / path.relative_to(rom)).read_bytes() for path in files)
