"""A client of the native dialect, for the command line and for scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

_READ_TIMEOUT_S = 70.0  # the service answers within 60


class ServiceError(Exception):
    """The service refused or failed; the message is the service's own."""


@dataclass(frozen=True)
class Answer:
    """Images, decoded, and the response they came in."""

    images: list[bytes]
    response: dict[str, Any]

    @classmethod
    def of(cls, response: dict[str, Any]) -> Self:
        return cls([base64.b64decode(image["b64_json"]) for image in response["images"]], response)


@dataclass(frozen=True)
class Event:
    """Something that happened to a request on its way."""

    name: str  # queued, step, partial_image or completed
    content: dict[str, Any]


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
        return Answer.of(self._json("POST", "/invocations", json=fields))

    def stream(self, **fields: Any) -> Generator[Event, None, None]:
        """The events of POST /invocations as they happen; the last is `completed`, with the response.

        Closing the iterator before that cancels the request. Raises ServiceError.
        """
        try:
            with self._http.stream("POST", "/invocations", json=fields | {"stream": True}) as answer:
                if answer.is_error:
                    answer.read()
                    raise self._error(answer)
                for event in _events(answer.iter_lines()):
                    if event.name == "error":
                        raise ServiceError(_message(event.content))
                    yield event
                    if event.name == "completed":
                        return
        except httpx.HTTPError as error:
            raise ServiceError(f"{self._http.base_url} does not answer: {error}") from error
        raise ServiceError(f"{self._http.base_url} ended the stream without an answer")

    def cancel(self, request_id: str) -> None:
        """DELETE /requests/{request_id}. Raises ServiceError when no such request is running."""
        self._json("DELETE", f"/requests/{quote(request_id, safe='')}")

    def route(self, **fields: Any) -> dict[str, Any]:
        """POST /v1/route: which ROM would answer `invoke` with these fields, and why. Raises ServiceError."""
        return self._json("POST", "/v1/route", json=fields)

    def info(self) -> dict[str, Any]:
        """GET /info. Raises ServiceError."""
        return self._json("GET", "/info")

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise ServiceError(f"{self._http.base_url} does not answer: {error}") from error
        if answer.is_error:
            raise self._error(answer)
        return self._content(answer)

    def _content(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            content: dict[str, Any] = answer.json()
        except ValueError as error:
            raise ServiceError(f"{self._http.base_url} did not answer in JSON (status {answer.status_code})") from error
        return content

    def _error(self, answer: httpx.Response) -> ServiceError:
        return ServiceError(f"{answer.status_code}: {_message(self._content(answer))}")


def _message(content: dict[str, Any]) -> str:
    problem = content.get("error", content)
    return str(problem.get("message") or problem)


def _events(lines: Iterable[str]) -> Iterator[Event]:
    """Server-sent events as this service writes them: a name and one line of JSON; comments are left out."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield Event(name, json.loads(value))
