"""What `serve` does: nginx and one gunicorn worker, started together, stopped together."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from app.bootstrap import check
from app.errors import SettingsError
from app.settings import read_settings

_PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
_DEFAULT_PORT = 8080
_GUNICORN_TIMEOUT_S = 65
_DRAIN_TIMEOUT_S = 26.0  # the app itself gives requests 22
# Rounds that an OpenMP thread spins before it sleeps. With the default, a core that anything else wants for a moment
# (an image being compressed, nginx) holds up all threads of an operation: a step takes ten times longer or worse.
_SHORT_SPIN = {"GOMP_SPINCOUNT": "10000"}
_STOPPING = (("gunicorn", signal.SIGTERM, 3.0), ("nginx", signal.SIGQUIT, 1.0))  # in this order, each with its seconds


@dataclass(frozen=True)
class Endpoint:
    """Where the service listens."""

    port: int
    run_dir: Path
    nginx: str | None  # path of the executable

    @property
    def unix_socket(self) -> Path:
        return self.run_dir / "gunicorn.sock"


class PortTaken(Exception):
    """Another process listens on the port."""


def serve(root: Path) -> int:
    """Run the service until a signal or the death of a child. Returns the exit status.

    `root` holds nginx.conf, and relative addresses of ROMs start there.
    """
    try:
        with chdir(root):
            check(read_settings())  # the worker does it, too; here what is wrong is one line, before anything starts
        port = _read_port()
        _check_port(port)
    except (SettingsError, PortTaken) as error:
        return _refuse(str(error))
    with tempfile.TemporaryDirectory(prefix="cartridge-") as run_dir:
        endpoint = Endpoint(port, Path(run_dir), shutil.which("nginx"))
        return _Supervisor(endpoint, root).run()


class _Supervisor:
    def __init__(self, endpoint: Endpoint, root: Path) -> None:
        self._endpoint = endpoint
        self._root = root
        self._stopping = threading.Event()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._children["gunicorn"] = subprocess.Popen(
            _gunicorn_command(self._endpoint),
            cwd=self._root,
            env={**_SHORT_SPIN, **os.environ},
            start_new_session=True,
        )
        if self._endpoint.nginx:
            config = _write_nginx_conf(self._endpoint, self._root / "nginx.conf")
            self._children["nginx"] = subprocess.Popen(
                [self._endpoint.nginx, "-c", str(config), "-p", str(self._endpoint.run_dir)], start_new_session=True
            )
        else:
            _say("nginx is not installed: gunicorn serves the port itself")
        threading.Thread(target=self._announce, name="announce", daemon=True).start()
        died = self._wait()
        self._stop()
        if died and not self._stopping.is_set():
            return _refuse(f"{died} ended with status {self._children[died].returncode}")
        return 0

    def _wait(self) -> str | None:
        """Until a signal arrives or a child ends; the name of the child that did."""
        while not self._stopping.wait(0.2):
            for name, child in self._children.items():
                if child.poll() is not None:
                    return name
        return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _stop(self) -> None:
        """Drain, so that accepted requests are answered; then end gunicorn, and nginx when all answers are out."""
        if all(child.poll() is None for child in self._children.values()):
            _drain(self._endpoint.unix_socket)
        for name, number, timeout_s in _STOPPING:
            if name in self._children:
                _end(self._children[name], number, timeout_s)

    def _announce(self) -> None:
        """One line for people, when the service is ready."""
        url = f"http://localhost:{self._endpoint.port}"
        with httpx.Client(base_url=url, timeout=2) as client:
            while not self._stopping.wait(0.25):
                try:
                    ready = client.get("/ping").status_code == 200
                    roms = [rom["id"] for rom in client.get("/info").json()["roms"] if rom["resident"]] if ready else []
                except (httpx.HTTPError, ValueError):
                    continue
                if ready:
                    break
        if not self._stopping.is_set():
            example = """-H 'content-type: application/json' -d '{"prompt": "a red star", "seed": 7}'"""
            resident = ", ".join(roms) or "none yet"
            _say(f"ready: {url}  ROMs: {resident}  try: curl -s {url}/invocations {example}")


def _gunicorn_command(endpoint: Endpoint) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "app.main:app", "--workers", "1"]
    command += ["--worker-class", "uvicorn_worker.UvicornWorker", "--worker-tmp-dir", str(endpoint.run_dir)]
    command += ["--timeout", str(_GUNICORN_TIMEOUT_S), "--graceful-timeout", "2", "--keep-alive", "75"]
    command += ["--log-level", "warning", "--no-control-socket", "--bind", f"unix:{endpoint.unix_socket}"]
    if not endpoint.nginx:
        command += ["--bind", f"0.0.0.0:{endpoint.port}"]
    return command


def _write_nginx_conf(endpoint: Endpoint, template: Path) -> Path:
    text = template.read_text(encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""  # nginx's own default user may not enter the run directory
    values = {
        "@USER@": user,
        "@PORT@": endpoint.port,
        "@SOCKET@": endpoint.unix_socket,
        "@RUN_DIR@": endpoint.run_dir,
    }
    for name, value in values.items():
        text = text.replace(name, str(value))
    path = endpoint.run_dir / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    return path


def _read_port() -> int:
    """Raises SettingsError."""
    text = os.environ.get(_PORT_VARIABLE) or str(_DEFAULT_PORT)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise SettingsError(f"{_PORT_VARIABLE}={text!r}: must be a port, 1 to 65535")
    return int(text)


def _check_port(port: int) -> None:
    """Raises PortTaken before anything is started."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(f"port {port} is taken; stop what listens there, or set {_PORT_VARIABLE}") from error


def _end(child: subprocess.Popen[bytes], number: signal.Signals, timeout_s: float) -> None:
    """Ask a child to end, and kill what is left of it and of its own children."""
    if child.poll() is None:
        child.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout_s)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # a worker outlives a master that was killed, and holds the port
    child.wait()


def _drain(unix_socket: Path) -> None:
    """Ask the app to refuse new requests, and wait until it has answered the accepted ones."""
    transport = httpx.HTTPTransport(uds=str(unix_socket))
    try:
        with httpx.Client(transport=transport, timeout=_DRAIN_TIMEOUT_S) as client:
            drained = client.post("http://cartridge/drain").json()["drained"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        _say(f"could not drain: {error}")
        return
    if not drained:
        _say("some requests were cut off: they did not end within the time to drain")


def _refuse(reason: str) -> int:
    _say(f"serve: {reason}")
    return 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
