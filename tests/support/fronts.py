"""The local front in this process, before the sample container, and boto3 clients that know of neither."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config

from deploy.local.container import Container, container_of
from deploy.local.endpoint import Endpoint, Status
from deploy.local.front import FrontOptions, create_front
from deploy.local.limits import Limits
from deploy.running import free_port, wait_until

SAMPLE = str(Path(__file__).with_name("sample_container.py"))
PATIENCE_S = 60.0
PING_INTERVAL_S = 0.02


@dataclass(frozen=True)
class Front:
    endpoint: Endpoint
    url: str
    clients: ExitStack  # closes them

    def until(self, status: Status) -> None:
        wait_until(lambda: self.endpoint.status is status, PATIENCE_S)

    def client(self, **settings: Any) -> Any:
        """An unmodified client of the runtime."""
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(**{"read_timeout": 70, "retries": {"total_max_attempts": 1}, **settings}),
        )
        self.clients.callback(client.close)
        return client


def sample_container(**environment: str) -> Container:
    return container_of(SAMPLE, environment, {})


@contextmanager
def front_of(container: Container, options: FrontOptions) -> Iterator[Front]:
    """Started; the endpoint may still be creating. It is stopped on leaving."""
    endpoint = Endpoint(container, options.limits, PING_INTERVAL_S)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_front(endpoint, options), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, PATIENCE_S)
        with ExitStack() as clients:
            yield Front(endpoint, f"http://127.0.0.1:{port}", clients)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


@contextmanager
def front_in_service(
    limits: Limits | None = None, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Front]:
    """Before a sample container that is ready."""
    made = FrontOptions(limits or Limits(), **options)
    with front_of(sample_container(**(environment or {})), made) as front:
        front.until(Status.IN_SERVICE)
        yield front
