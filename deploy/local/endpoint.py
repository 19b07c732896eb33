"""An endpoint's life: the container starts, is probed until it is ready and for as long as it serves, and stops."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

from deploy.local.container import Container, ContainerError
from deploy.local.limits import PING_INTERVAL_S, START_INTERVAL_S, Limits
from deploy.local.ping import Ping, ping


class Status(Enum):
    """As DescribeEndpoint calls them."""

    CREATING = "Creating"
    IN_SERVICE = "InService"
    FAILED = "Failed"


class Endpoint:
    """`status` changes as the probes tell."""

    def __init__(self, container: Container, limits: Limits, ping_interval_s: float = PING_INTERVAL_S) -> None:
        self.container = container
        self.status = Status.CREATING
        self.reason = ""  # why it failed
        self._limits = limits
        self._ping_interval_s = ping_interval_s
        self._settled = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A container that cannot be started makes an endpoint that has failed."""
        try:
            await asyncio.to_thread(self.container.start)
        except ContainerError as error:
            self._end(str(error))
            yield
            return
        probing = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            probing.cancel()
            await asyncio.to_thread(self._stop)

    async def settled(self) -> Status:
        """InService or Failed, as soon as it is either."""
        await self._settled.wait()
        return self.status

    async def _probe(self) -> None:
        """Every few seconds: a container that is not ready within the start window, or ends, has failed."""
        began = asyncio.get_running_loop().time()
        failures = 0
        while True:
            made = await asyncio.to_thread(ping, self.container.url, self._limits)
            ended = self.container.ended()
            if ended is not None:
                return self._end(f"the container ended with status {ended}")
            if made.is_healthy:
                self._serve()
            elif asyncio.get_running_loop().time() - began > self._limits.start_s and self.status is Status.CREATING:
                return self._end(_not_healthy(made))
            failures = self._count(made, failures)
            await asyncio.sleep(self._interval_s())

    def _interval_s(self) -> float:
        return (
            self._ping_interval_s if self.status is Status.IN_SERVICE else min(START_INTERVAL_S, self._ping_interval_s)
        )

    def _serve(self) -> None:
        if self.status is Status.CREATING:
            self.status = Status.IN_SERVICE
            self._settled.set()

    def _end(self, reason: str) -> None:
        """An endpoint that was in service stays so: the platform would put another instance in its place."""
        if self.status is Status.CREATING:
            self.status, self.reason = Status.FAILED, reason
            self._settled.set()
        else:
            _say(reason)

    def _count(self, made: Ping, failures: int) -> int:
        """How many probes in a row failed in service; each is told."""
        if self.status is not Status.IN_SERVICE or made.is_healthy:
            return 0
        _say(f"/ping failed {failures + 1} times in a row: {made.reason}")
        return failures + 1

    def _stop(self) -> None:
        stop = self.container.stop(self._limits.stop_s)
        if stop.was_killed:
            _say(f"the container outlived SIGTERM by {self._limits.stop_s:g} s and was killed")


def _not_healthy(made: Ping) -> str:
    return (
        "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
        f"CloudWatch logs for this endpoint. The last probe: {made.reason}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
