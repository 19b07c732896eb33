"""The platform's numbers. Those that a front may be told otherwise are fields of `Limits`."""

from __future__ import annotations

from dataclasses import dataclass

PING_INTERVAL_S = 5.0  # in service; the documents do not say
START_INTERVAL_S = 0.5  # until then, so that nobody waits longer than the container takes

ASYNC_INLINE_BYTES = 128_000
ASYNC_INPUT_BYTES = 1 << 30
ASYNC_TTL_S = (60, 21_600)  # how long a request may wait; the longest is the default
ASYNC_INVOCATION_S = (1, 3_600)
ASYNC_DEFAULT_INVOCATION_S = 900


@dataclass(frozen=True)
class Limits:
    """What one endpoint allows."""

    request_bytes: int = 6_291_456
    response_bytes: int = 6_291_456
    invocation_s: float = 60.0  # from the request to the last byte of the response
    stream_s: float = 480.0  # the same for a streamed response
    ping_s: float = 2.0  # for an answer of /ping
    accept_s: float = 0.25  # for a connection
    start_s: float = 480.0  # from the start to a container that is ready
    load_s: float = 60.0  # how long a call waits for a model of a multi-model endpoint
    stop_s: float = 30.0  # from SIGTERM to SIGKILL
