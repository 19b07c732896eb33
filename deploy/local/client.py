"""Calls to the container, cut as the platform cuts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from deploy.local.errors import PayloadTooLarge, exited, timed_out
from deploy.local.headers import USER_AGENT


@dataclass(frozen=True)
class Reply:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_error(self) -> bool:
        """Whatever is not 2xx: the platform follows no redirects."""
        return not 200 <= self.status < 300


class ContainerClient:
    """One connection pool to one container. Nothing is repeated, no redirect followed, no header added but its own."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, timeout=None, limits=httpx.Limits(max_connections=None), trust_env=False
        )
        self._http.headers = httpx.Headers({"User-Agent": USER_AGENT})
        for name in ("Accept", "Accept-Encoding"):
            del self._http.headers[name]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        within_s: float | None,
        at_most_bytes: int | None = None,
        method: str = "POST",
    ) -> Reply:
        """The whole response. Raises ModelError where it is late or breaks off, PayloadTooLarge."""
        try:
            async with asyncio.timeout(within_s), self.streaming(path, body, headers, method=method) as response:
                received = bytearray()
                async for chunk in response.aiter_raw():
                    received += chunk
                    if at_most_bytes is not None and len(received) > at_most_bytes:
                        raise PayloadTooLarge(at_most_bytes)
        except TimeoutError as error:
            raise timed_out() from error
        except httpx.TransportError as error:
            raise exited() from error
        return Reply(response.status_code, response.headers, bytes(received))

    @asynccontextmanager
    async def streaming(
        self, path: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST"
    ) -> AsyncIterator[httpx.Response]:
        """A response whose body has not been read. Raises httpx.TransportError."""
        async with self._http.stream(method, path, content=body, headers=dict(headers)) as response:
            yield response
