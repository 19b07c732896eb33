"""One health check, as the platform makes it."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from deploy.local.headers import USER_AGENT
from deploy.local.limits import Limits

_TLS = ssl.create_default_context()  # takes longer to make than a ping
_DEFAULTS = Limits()


@dataclass(frozen=True)
class Ping:
    """What came of it. `status` is None where no answer came; times are in seconds."""

    status: int | None
    reason: str
    accept_s: float | None
    answer_s: float | None

    @property
    def is_healthy(self) -> bool:
        return self.status == 200


def ping(url: str, limits: Limits = _DEFAULTS, method: str = "GET") -> Ping:
    """A new connection and one request on it. An answer that comes too late is none."""
    accept_s, answer_s = limits.accept_s, limits.ping_s
    began = time.monotonic()
    try:
        _connect(url, accept_s)
    except OSError as error:
        late = isinstance(error, TimeoutError)
        return Ping(None, f"no connection within {accept_s * 1000:.0f} ms" if late else str(error), None, None)
    accepted = time.monotonic() - began
    try:
        answer = httpx.request(
            method,
            f"{url}/ping",
            timeout=answer_s,
            headers={"User-Agent": USER_AGENT},
            verify=_TLS,
            trust_env=False,
        )
    except httpx.TimeoutException:
        return Ping(None, f"no answer within {answer_s:g} s", accepted, None)
    except httpx.TransportError as error:
        return Ping(None, f"the connection broke: {error}", accepted, None)
    answered = time.monotonic() - began
    if answered > answer_s:
        return Ping(None, f"the answer took {answered:.2f} s", accepted, answered)
    return Ping(answer.status_code, _summary(answer), accepted, answered)


def _connect(url: str, within_s: float) -> None:
    """Raises OSError."""
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname or "", port), within_s).close()


def _summary(answer: httpx.Response) -> str:
    text = " ".join(answer.text.split())[:200]
    return f"{answer.status_code} {text}".strip()
