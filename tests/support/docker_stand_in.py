#!/usr/bin/env python3
"""What of docker's command line the front uses, with the sample container in place of every image.

STAND_IN_CONFIG is the configuration of the image, in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ADDRESS = "127.0.0.77"  # of every container on a network
SAMPLE = Path(__file__).resolve().with_name("sample_container.py")
PIDS = Path(tempfile.gettempdir())


def run(arguments: list[str]) -> int:
    """The port 8080, or that of SAGEMAKER_BIND_TO_PORT, becomes the published one, if it is that one."""
    options = dict(argument[2:].split("=", 1) for argument in arguments if argument.startswith(("--name", "--publish")))
    environment = dict(
        argument.removeprefix("--env=").split("=", 1) for argument in arguments if argument.startswith("--env=")
    )
    if "publish" in options:
        _, outside, inside = options["publish"].split(":")
        listened = environment.get("SAGEMAKER_BIND_TO_PORT", "8080")
        if "FIXED_PORT" in environment:
            listened = environment.pop("FIXED_PORT")
        environment["SAGEMAKER_BIND_TO_PORT"] = outside if listened == inside else "0"
    else:
        environment |= {"HOST": ADDRESS}
        environment["FAULTS"] = environment.get("FAULTS", "") + ",isolated"
    process = subprocess.Popen([str(SAMPLE), *arguments[-1:]], env={**os.environ, **environment})
    (PIDS / options["name"]).write_text(str(process.pid))
    status = process.wait()
    return 128 - status if status < 0 else status


def stop(seconds: str, name: str) -> int:
    pid = int((PIDS / name).read_text())
    deadline = time.monotonic() + float(seconds)
    os.kill(pid, signal.SIGTERM)
    while alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return 0
        time.sleep(0.02)
    return 0


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    match arguments:
        case ["run", *rest]:
            return run(rest)
        case ["stop", "-t", seconds, name]:
            return stop(seconds, name)
        case ["image", "inspect", _]:
            print(json.dumps([{"Config": json.loads(os.environ.get("STAND_IN_CONFIG", "{}"))}]))
        case ["inspect", "--format", _, name] if (PIDS / name).exists():
            print(ADDRESS)
        case ["network", *_]:
            print("done")
        case _:
            print(f"no such thing: {arguments}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
