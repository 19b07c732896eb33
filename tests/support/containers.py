"""The image in a docker engine, run as SageMaker runs it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local.container import MODEL_DIR, docker
from deploy.running import ROOT, free_port, wait_until

START_S = 180.0
ROM = ROOT / "model_store" / "shapes"


@dataclass(frozen=True)
class Running:
    """A container, and the service in it."""

    name: str
    http: httpx.Client

    def is_ready(self) -> bool:
        try:
            return self.http.get("/ping").status_code == 200
        except httpx.TransportError:
            return False

    def draw(self, **fields: Any) -> httpx.Response:
        return self.http.post("/invocations", json={"prompt": "a red circle", "num_inference_steps": 4, **fields})

    def stop(self, within_s: int = 30) -> int:
        """SIGTERM, SIGKILL `within_s` later; the exit status."""
        docker("stop", "--time", str(within_s), self.name)
        return int(docker("inspect", "--format", "{{.State.ExitCode}}", self.name))


@contextmanager
def running(image: str, *options: str, model_data: Path = ROM) -> Iterator[Running]:
    """`docker run IMAGE serve`, ready; /opt/ml/model is read-only. It is removed on leaving."""
    name, port = f"cartridge-test-{uuid.uuid4().hex[:12]}", free_port()
    mounted = f"--volume={model_data}:{MODEL_DIR}:ro"
    docker("run", "--detach", f"--name={name}", f"--publish=127.0.0.1:{port}:8080", mounted, *options, image, "serve")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70, trust_env=False) as http:
            container = Running(name, http)
            wait_until(container.is_ready, START_S)
            yield container
    finally:
        docker("rm", "--force", "--volumes", name)


def run(image: str, *command: str, options: Sequence[str] = (), entrypoint: str = "") -> str:
    """What a command in a fresh container prints, without a network. Raises ContainerError."""
    chosen = [f"--entrypoint={entrypoint}"] if entrypoint else []
    return docker("run", "--rm", "--network=none", *chosen, *options, image, *command)


def labels(image: str) -> dict[str, str]:
    told: dict[str, str] = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    return told
