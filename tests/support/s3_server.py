"""One S3 for all tests that need it: moto over real HTTP, with a proxy in front of it that can misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.buckets import Bucket
    from tests.support.fault_proxy import FaultProxy


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

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
    import boto3

    client = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    yield client
    client.close()


@pytest.fixture(scope="session")
def session_proxy(moto_url: str) -> Iterator[FaultProxy]:
    from tests.support.fault_proxy import running_proxy

    with running_proxy(moto_url) as proxy:
        yield proxy


@pytest.fixture
def proxy(session_proxy: FaultProxy) -> FaultProxy:
    session_proxy.forget()
    return session_proxy


@pytest.fixture
def bucket(s3: Any, proxy: FaultProxy) -> Bucket:
    from tests.support.buckets import make_bucket

    return make_bucket(s3, proxy.url)
