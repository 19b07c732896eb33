"""docker-compose.yml: up, called, down."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import httpx
import pytest

from deploy.local.container import docker
from deploy.running import ROOT, wait_until
from deploy.stand import smoke

START_S = 400.0


def make(target: str, image: str) -> None:
    subprocess.run(["make", target, f"IMAGE={image}"], cwd=ROOT, check=True)


@pytest.fixture
def stand(image: str) -> Iterator[None]:
    make("up", image)
    try:
        wait_until(lambda: answers("http://localhost:8080/ping"), START_S)
        wait_until(lambda: answers("http://localhost:7860"), START_S)
        yield
    finally:
        make("down", image)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_clients_of_sagemaker_are_served_from_the_object_store(image: str, stand: None) -> None:
    runtime, objects = smoke.client("sagemaker-runtime", 8090), smoke.client("s3", 9000)
    wait_until(lambda: in_service(runtime), START_S)
    pictures = [smoke.at_once(runtime), smoke.streamed(runtime), smoke.asynchronous(runtime, objects)]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0] == pictures[2]  # the same seed
    served = httpx.get("http://localhost:8080/info", trust_env=False).json()["roms"]
    assert "shapes" in [rom["id"] for rom in served]


def in_service(runtime: object) -> bool:
    try:
        smoke.at_once(runtime)
    except runtime.exceptions.ClientError:  # type: ignore[attr-defined]
        return False
    return True


def test_nothing_is_left_of_it(image: str) -> None:
    make("up", image)
    make("down", image)
    for kind in ("ps --all", "volume ls", "network ls"):
        listed = docker(*kind.split(), "--quiet", "--filter", "label=com.docker.compose.project=cartridge")
        assert listed == "", kind
