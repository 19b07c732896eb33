"""Rules of the end, and of what needs another start. They are looked at last."""

from __future__ import annotations

import socket
import time

from deploy.local.conformance.rule import Broken, Skipped, rule
from deploy.local.conformance.subject import Subject
from deploy.local.container import Container, DockerImage, LocalProcess
from deploy.running import free_port

_GRACEFUL = (0, 143, -15)  # 128 + SIGTERM, as a shell tells it, or as the system does
_LISTEN_S = 60.0


@rule(
    "stop-time",
    "It ends within 30 seconds of SIGTERM, before SIGKILL.",
    "SageMaker guide: SIGTERM, then SIGKILL 30 seconds later",
)
def stop_time(subject: Subject) -> str:
    started(subject)
    stop, took_s = subject.stop
    if stop.was_killed:
        raise Broken(f"it still ran after {subject.asked.limits.stop_s:g} s and was killed")
    return f"after {took_s:.1f} s"


@rule(
    "stop-status",
    "After SIGTERM it ends with status 0 or 143, without a crash.",
    "SageMaker guide: clean up on SIGTERM",
)
def stop_status(subject: Subject) -> str:
    started(subject)
    stop, _ = subject.stop
    if stop.was_killed:
        raise Skipped("it was killed")
    if stop.status not in _GRACEFUL:
        raise Broken(f"status {stop.status}")
    return f"status {stop.status}"


@rule(
    "bind-to-port",
    "With SAGEMAKER_BIND_TO_PORT it listens there instead of on 8080.",
    "SageMaker guide 2023: inference-pipeline-real-time, multi-container-direct",
)
def bind_to_port(subject: Subject) -> str:
    started(subject)
    port = free_port()
    other = on_port(subject, port)
    other.start()
    try:
        deadline = time.monotonic() + min(_LISTEN_S, subject.asked.limits.start_s)
        while not listens(other):
            if (status := other.ended()) is not None:
                raise Broken(f"with SAGEMAKER_BIND_TO_PORT={port} it ended with status {status}")
            if time.monotonic() > deadline:
                raise Broken(f"with SAGEMAKER_BIND_TO_PORT={port} nothing listens there")
            time.sleep(0.05)
    finally:
        other.stop(subject.asked.limits.stop_s)
    return f"it listened on {port}"


def started(subject: Subject) -> None:
    """Raises Skipped where it did not start, or was started by somebody else."""
    if subject.started().status is not None:
        raise Skipped("it ended by itself")


def on_port(subject: Subject, port: int) -> Container:
    environment = {**subject.asked.environment, "SAGEMAKER_BIND_TO_PORT": str(port)}
    if isinstance(subject.container, DockerImage):
        return DockerImage(subject.image, environment, container_port=port)
    assert isinstance(subject.container, LocalProcess)
    return subject.container.again(port)


def listens(container: Container) -> bool:
    """Whether HTTP is spoken there: docker itself accepts connections for a port that it publishes."""
    host, _, port = container.url.removeprefix("http://").partition(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            connection.settimeout(1)
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(4) == b"HTTP"
    except OSError:
        return False
