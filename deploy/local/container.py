"""What is behind the front: a container that runs already, a program on this machine, or an image in docker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from deploy.running import ROOT, free_port

MODEL_DIR = "/opt/ml/model"
MODELS_DIR = "/opt/ml/models"
PORT = 8080
PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
_STDERR = 2  # where a container's log goes: what the front itself says is on stdout
_KILLED = 137  # docker's status of a container that SIGKILL ended


class ContainerError(Exception):
    """A container cannot be started, or docker refuses what is asked of it."""


@dataclass(frozen=True)
class Stop:
    """How a container ended."""

    status: int | None  # None: nobody may stop it
    was_killed: bool  # it outlived the time between SIGTERM and SIGKILL


class Container(Protocol):
    @property
    def url(self) -> str: ...

    def start(self) -> None:
        """Raises ContainerError."""

    def ended(self) -> int | None:
        """Its exit status, once it has one."""

    def stop(self, within_s: float) -> Stop:
        """SIGTERM, and SIGKILL `within_s` later. Raises ContainerError."""


@dataclass(frozen=True)
class RunningContainer:
    """Somebody else started it, and will stop it."""

    url: str

    def start(self) -> None:
        """It has started."""

    def ended(self) -> int | None:
        return None

    def stop(self, within_s: float) -> Stop:
        return Stop(None, False)


class LocalProcess:
    """A program on this machine, started with the argument `serve` on a free port."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int | None = None) -> None:
        self._program = list(command)
        self._environment = dict(environment)
        self._port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        try:
            self._process = subprocess.Popen(
                [*self._program, "serve"],
                env={**os.environ, **self._environment, PORT_VARIABLE: str(self._port)},
                stdout=_STDERR,
                start_new_session=True,  # a Ctrl-C is the front's, which then stops it as the platform would
            )
        except OSError as error:
            raise ContainerError(f"{self._program[0]} does not start: {error}") from error

    def ended(self) -> int | None:
        return self._process.poll() if self._process else None

    def stop(self, within_s: float) -> Stop:
        if self._process is None:
            return Stop(None, False)
        return _end(self._process, within_s)

    def again(self, port: int) -> LocalProcess:
        """The same program, not started, for another port."""
        return LocalProcess(self._program, self._environment, port)


class DockerImage:
    """`docker run IMAGE serve`, with the port 8080 on a free one of this machine."""

    def __init__(
        self,
        image: str,
        environment: Mapping[str, str],
        mounts: Mapping[Path, str] | None = None,
        options: Sequence[str] = (),
        container_port: int = PORT,
        publish: bool = True,
    ) -> None:
        self.name = f"cartridge-front-{uuid.uuid4().hex[:12]}"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        volumes = [f"--volume={source.resolve()}:{target}:ro" for source, target in (mounts or {}).items()]
        published = [f"--publish=127.0.0.1:{self._port}:{container_port}"] if publish else []
        named = ["docker", "run", "--rm", f"--name={self.name}", *published]
        self._command = [*named, *variables, *volumes, *options, image, "serve"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        if shutil.which("docker") is None:
            raise ContainerError("docker is not installed; a URL or a program can be the target without it")
        self._process = subprocess.Popen(self._command, stdout=_STDERR, start_new_session=True)

    def ended(self) -> int | None:
        return self._process.poll() if self._process else None

    def stop(self, within_s: float) -> Stop:
        if self._process is None:
            return Stop(None, False)
        try:
            if self._process.poll() is None:
                docker("stop", "-t", f"{within_s:.0f}", self.name)
        except ContainerError:
            if self._process.poll() is None:  # else it ended by itself meanwhile
                raise
        status = self._process.wait()
        return Stop(status, status == _KILLED)


def container_of(target: str | None, environment: Mapping[str, str], mounts: Mapping[Path, str]) -> Container:
    """A URL is a container that runs, the path of a program that program, anything else an image.

    None is this checkout's own `serve`. `mounts` are for images. Raises ContainerError.
    """
    if target is None:
        return LocalProcess([sys.executable, str(ROOT / "serve")], environment)
    if target.startswith(("http://", "https://")):
        return RunningContainer(target.rstrip("/"))
    if is_program(target):
        return LocalProcess([str(Path(target).resolve())], environment)
    return DockerImage(target, environment, mounts)


def is_program(target: str) -> bool:
    return "/" in target and Path(target).is_file() and os.access(target, os.X_OK)


def docker(*arguments: str) -> str:
    """What the docker command writes. Raises ContainerError with what it says."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ContainerError(f"docker does not run: {error}") from error
    if done.returncode != 0:
        raise ContainerError(f"docker {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout


def inspect_image(image: str) -> dict[str, Any]:
    """The image's configuration: Entrypoint, User, Labels, ... Raises ContainerError."""
    config: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]["Config"]
    return config


def _end(process: subprocess.Popen[bytes], within_s: float) -> Stop:
    """What the program itself started ends with it, as in a container."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(within_s)
        was_killed = False
    except subprocess.TimeoutExpired:
        was_killed = True
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return Stop(process.wait(), was_killed)
