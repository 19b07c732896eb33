"""One S3 for all tests of this room: moto over real HTTP, with a proxy in front of it that can misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from app.roms.disk import RomDisk
from tests.support.buckets import Bucket, make_bucket, make_disk, wrong_blobs
from tests.support.fault_proxy import FaultProxy, running_proxy


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(scope="session")
def s3(moto_url: str) -> Iterator[Any]:
    client = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    yield client
    client.close()


@pytest.fixture(scope="session")
def session_proxy(moto_url: str) -> Iterator[FaultProxy]:
    with running_proxy(moto_url) as proxy:
        yield proxy


@pytest.fixture
def proxy(session_proxy: FaultProxy) -> FaultProxy:
    session_proxy.forget()
    return session_proxy


@pytest.fixture
def bucket(s3: Any, proxy: FaultProxy) -> Bucket:
    return make_bucket(s3, proxy.url)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache directory, in which nothing wrong may be left by any test."""
    yield tmp_path / "cache"
    assert wrong_blobs(tmp_path / "cache") == []


@pytest.fixture
def disk(cache: Path) -> Iterator[RomDisk]:
    disk = make_disk(cache)
    yield disk
    disk.close()
