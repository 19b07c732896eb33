"""`logs`: what the containers of an endpoint have written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.errors import DeployError

_POLL_S = 2.0
_LATE_MS = 60_000  # that a line may come after a younger one of another container


def log_lines(
    calls: Calls,
    name: str,
    since_s: float,
    *,
    follow: bool = False,
    pattern: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Time, stream and text of each line, from `since_s` seconds ago; with `follow` as they come, without an end.

    Raises DeployError where the endpoint has never written any.
    """
    group = f"/aws/sagemaker/Endpoints/{name}"
    start_ms = int((time.time() - since_s) * 1000)
    shown: set[str] = set()
    while True:
        asked: dict[str, Any] = {"logGroupName": group, "startTime": start_ms} | (
            {"filterPattern": pattern} if pattern else {}
        )
        events = sorted(_events(calls, group, asked), key=lambda one: one["timestamp"])
        for event in events:
            if event["eventId"] in shown:
                continue
            moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            yield f"{moment:%Y-%m-%d %H:%M:%S} {event['logStreamName']} {event['message'].rstrip()}"
        if not follow:
            return
        shown = {event["eventId"] for event in events}
        if events:
            start_ms = max(start_ms, events[-1]["timestamp"] - _LATE_MS)
        sleep(_POLL_S)


def _events(calls: Calls, group: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return list(calls.pages("logs", "filter_log_events", "events", **asked))
    except DeployError as error:
        if "ResourceNotFoundException" not in str(error):
            raise
        raise DeployError(f"there is no log group {group}: no container has started yet; look at `status`") from error
