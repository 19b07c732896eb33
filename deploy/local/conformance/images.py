"""Rules that only an image can break: what it says of itself, and what docker can take away from it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.conformance.rule import Broken, Skipped, rule
from deploy.local.conformance.subject import Subject
from deploy.local.container import MODEL_DIR, PORT, ContainerError, DockerImage, docker, inspect_image
from deploy.local.ping import ping

_SHELLS = ("sh", "bash", "ash", "dash")


@rule(
    "entrypoint",
    "The entry point is in exec form: no shell and no tini stands before the program.",
    "SageMaker guide: so that it gets SIGTERM, and tini is confused by `serve`",
)
def entrypoint(subject: Subject) -> str:
    given = inspect_image(subject.image).get("Entrypoint") or []
    program = given[0].rpartition("/")[2] if given else ""
    if program == "tini" or (program in _SHELLS and "-c" in given):
        raise Broken(f"{given}")
    return f"{given}" if given else "none: `serve` is a program of the image"


@rule("root-user", "It runs as root.", "SageMaker guide: the platform expects all containers to run with root users")
def root_user(subject: Subject) -> str:
    user = (inspect_image(subject.image).get("User") or "root").partition(":")[0]
    if user not in ("root", "0"):
        raise Broken(f"its user is {user}")
    return user


@rule(
    "read-only-model",
    "It gets ready though /opt/ml/model is read-only.",
    "SageMaker guide: how the model's data is mounted",
)
def read_only_model(subject: Subject) -> str:
    name = subject.image
    if subject.asked.model_data is None:
        raise Skipped(f"--model-data is mounted as {MODEL_DIR}")
    if subject.started().ready_s is None:
        raise Broken(f"{name} with {subject.asked.model_data} did not get ready")
    return f"ready with {subject.asked.model_data}"


@rule(
    "network-isolation",
    "It gets ready without a network.",
    "botocore: EnableNetworkIsolation, no inbound or outbound calls",
)
def network_isolation(subject: Subject) -> str:
    limit = subject.asked.limits.start_s
    with isolated(subject) as (container, url):
        began = time.monotonic()
        while not (made := ping(url, subject.asked.limits)).is_healthy:
            if (status := container.ended()) is not None:
                raise Broken(f"it ended with status {status}")
            if time.monotonic() - began > limit:
                raise Broken(f"not ready within {limit:g} s: {made.reason}")
            time.sleep(0.05)
        return f"ready after {time.monotonic() - began:.1f} s"


@contextmanager
def isolated(subject: Subject) -> Iterator[tuple[DockerImage, str]]:
    """A container, and its address, on a network that leads nowhere; this machine alone reaches it. Raises Skipped."""
    network = f"cartridge-isolated-{uuid.uuid4().hex[:12]}"
    container = DockerImage(
        subject.image, subject.asked.environment, subject.mounts, options=["--network", network], publish=False
    )
    try:
        docker("network", "create", "--internal", network)
        container.start()
        try:
            yield container, f"http://{address_of(container)}:{PORT}"
        finally:
            container.stop(subject.asked.limits.stop_s)
            docker("network", "rm", network)
    except ContainerError as error:
        raise Skipped(str(error)) from error


def address_of(container: DockerImage) -> str:
    """Within its network. Raises ContainerError."""
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if address := docker("inspect", "--format", template, container.name).strip():
                return address
        except ContainerError:
            if container.ended() is not None:
                raise
        time.sleep(0.05)
    raise ContainerError(f"{container.name} has no address")
