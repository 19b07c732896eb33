"""The image in a registry: what is pushed is what runs, by its digest."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.container import docker
from deploy.running import free_port, wait_until
from tests.support.containers import running

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of Debian's docker-registry, empty."""
    if shutil.which("docker-registry") is None:
        pytest.fail("this test needs docker-registry (apt-get install docker-registry)")
    port = free_port()
    config = tmp_path / "config.yml"
    config.write_text(CONFIG.format(directory=tmp_path / "blobs", port=port))
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=2)
    try:
        wait_until(lambda: is_up(port), 30)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_what_was_pushed_runs_by_its_digest(image: str, registry: str) -> None:
    name = f"{registry}/cartridge"
    docker("tag", image, f"{name}:test")
    docker("push", "--quiet", f"{name}:test")
    (pinned,) = [
        told
        for told in json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", f"{name}:test"))
        if told.startswith(name)
    ]
    docker("rmi", f"{name}:test")  # and with it the digest: what runs next is pulled
    try:
        with running(pinned) as container:
            assert container.draw().status_code == 200
    finally:
        docker("rmi", pinned)


def test_the_manifest_is_one_that_sagemaker_takes(image: str, registry: str) -> None:
    name = f"{registry}/cartridge"
    docker("tag", image, f"{name}:test")
    try:
        docker("push", "--quiet", f"{name}:test")
    finally:
        docker("rmi", f"{name}:test")
    accepted = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    answer = httpx.get(f"http://{registry}/v2/cartridge/manifests/test", headers={"Accept": accepted}, trust_env=False)
    assert answer.headers["Content-Type"] == "application/vnd.docker.distribution.manifest.v2+json"
