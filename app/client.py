"""A client of the native dialect, for the command line and for scripts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

_READ_TIMEOUT_S = 70.0  # the service answers within 60


class ServiceError(Exception):
    """The service refused or failed; the message is the service's own."""


@dataclass(frozen=True)
class Answer:
    """Images, decoded, and the response they came in."""

    images: list[bytes]
    response: dict[str, Any]


class Client:
    """One connection pool to one service. Requests are never repeated: a late image is not made twice."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=httpx.Timeout(_READ_TIMEOUT_S, connect=5), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def invoke(self, **fields: Any) -> Answer:
        """POST /invocations. Raises ServiceError."""
        response = self._json("POST", "/invocations", json=fields)
        return Answer([base64.b64decode(image["b64_json"]) for image in response["images"]], response)

    def info(self) -> dict[str, Any]:
        """GET /info. Raises ServiceError."""
        return self._json("GET", "/info")

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **arguments)
            content: dict[str, Any] = answer.json()
        except httpx.HTTPError as error:
            raise ServiceError(f"{self._http.base_url} does not answer: {error}") from error
        except ValueError as error:
            raise ServiceError(f"{self._http.base_url} did not answer in JSON (status {answer.status_code})") from error
        if answer.is_error:
            problem = content.get("error", content)
            raise ServiceError(f"{answer.status_code}: {problem.get('message') or problem}")
        return content
