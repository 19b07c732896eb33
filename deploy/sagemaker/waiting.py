"""Waiting for SageMaker: it says that it has begun, and then works for minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.errors import DeployError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    poll_s: float = 15.0
    timeout_s: float = 4 * 3600.0  # capacity, download, start and a slow rollout, each an hour at most
    sleep: Callable[[float], None] = time.sleep


def wait_for(calls: Calls, what: str, look: Callable[[], T], done: Callable[[T], bool], patience: Patience) -> T:
    """Look until it is done; what was seen then. A dry run looks once. Raises DeployError after `timeout_s`."""
    deadline = time.monotonic() + patience.timeout_s
    seen = look()
    if calls.dry_run or done(seen):
        return seen
    calls.show(f"waiting until {what}")
    while not done(seen):
        if time.monotonic() > deadline:
            raise DeployError(
                f"after {patience.timeout_s:.0f} s it is still not so that {what}; run this again to go on"
            )
        patience.sleep(patience.poll_s)
        seen = look()
    return seen
