"""A probe of `/ping` in a process of its own, as a platform's is: it shares no lock with the clients of a test.

`python -m tests.support.probe URL` probes until its input ends, and writes what it saw as JSON.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from deploy.running import ROOT

_PAUSE_S = 0.005
_TIMEOUT_S = 60.0


@dataclass
class Pings:
    """What a probe saw; empty until it has ended."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def percentile_s(self, rank: int) -> float:
        return sorted(self.seconds)[len(self.seconds) * rank // 100]


@contextmanager
def probing(url: str) -> Iterator[Pings]:
    """Probe while the block runs."""
    pings, command = Pings(), [sys.executable, "-m", "tests.support.probe", url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "probing\n"
        try:
            yield pings
        finally:
            seen = json.loads(process.communicate(timeout=_TIMEOUT_S)[0])
            pings.statuses, pings.seconds = seen["statuses"], seen["seconds"]


def main() -> None:
    statuses, seconds = [], []
    with httpx.Client(base_url=sys.argv[1], timeout=_TIMEOUT_S) as http:
        http.get("/ping")
        sys.stdout.write("probing\n")
        sys.stdout.flush()
        while not select.select([sys.stdin], [], [], _PAUSE_S)[0]:
            started = time.perf_counter()
            statuses.append(http.get("/ping").status_code)
            seconds.append(time.perf_counter() - started)
    json.dump({"statuses": statuses, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
