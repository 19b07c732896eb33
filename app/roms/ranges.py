"""Ranges of objects over HTTP, on connections that are kept open. What may pass by itself is tried again."""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, Url, parse_url

from app.errors import StoreUnavailable
from app.roms.s3 import RemoteFile, S3Store

_CHUNK_BYTES = 1024 * 1024  # a read; 256 KiB is a fifth slower
_PASSING = {408, 429, 500, 502, 503, 504}
_CHANGED = {404, 412, 416}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class ObjectChanged(Exception):
    """An object is not what was listed."""


class Stopped(Exception):
    """We were asked to stop."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for one range."""

    attempts: int = 6  # in a row that bring nothing
    first_pause_s: float = 0.1  # doubled each time, and then a random share of it
    longest_pause_s: float = 5.0
    connect_timeout_s: float = 5.0
    stall_timeout_s: float = 15.0  # without a byte

    def pause_s(self, failures: int) -> float:
        return random.uniform(0.5, 1.0) * min(self.longest_pause_s, self.first_pause_s * 2.0 ** (failures - 1))


class RangeReader:
    """Reads ranges. Many threads may use one; each `read` takes a connection for itself."""

    def __init__(
        self,
        connections: int,
        patience: Patience | None = None,
        on_received: Callable[[int], None] = lambda _: None,
        on_retry: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._patience = patience or Patience()
        self._connections = connections
        self._on_received = on_received
        self._on_retry = on_retry
        self._pools: dict[str | None, urllib3.PoolManager] = {}  # by proxy
        self._opening = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let every read end with Stopped, soon."""
        self._stopping.set()

    def close(self) -> None:
        self.stop()
        for pool in self._pools.values():
            pool.clear()

    def read(self, store: S3Store, file: RemoteFile, start: int, length: int) -> Iterator[bytes]:
        """The bytes from `start` on, in chunks, exactly `length` of them.

        Raises ObjectChanged when the object is another one than was listed, StoreUnavailable when it cannot be had.
        """
        got = failures = 0
        while got < length:
            before = got
            try:
                for chunk in self._ask(store, file, start + got, length - got):
                    got += len(chunk)
                    yield chunk
                if got < length:
                    raise _Passing("the answer was cut short")
            except (_Passing, HTTPError) as error:
                failures = 1 if got > before else failures + 1
                self._wait(store, file, error, failures)

    def _wait(self, store: S3Store, file: RemoteFile, error: Exception, failures: int) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        if failures >= self._patience.attempts:
            message = f"{file.key} of {store.source} cannot be downloaded, tried {failures} times: {reason}"
            raise StoreUnavailable(message, retry_after_s=5) from error
        self._on_retry(reason)
        if self._stopping.wait(self._patience.pause_s(failures)):
            raise Stopped

    def _ask(self, store: S3Store, file: RemoteFile, start: int, length: int) -> Iterator[bytes]:
        url = store.sign(file)
        headers = {"Range": f"bytes={start}-{start + length - 1}", "If-Match": file.etag, "Accept-Encoding": "identity"}
        answer = self._pool(parse_url(url)).request("GET", url, headers=headers, preload_content=False)
        try:
            self._check(answer, store, file, start, length)
            left = length
            while left and (chunk := answer.read(min(_CHUNK_BYTES, left), decode_content=False)):
                if self._stopping.is_set():
                    raise Stopped
                left -= len(chunk)
                self._on_received(len(chunk))
                yield chunk
            answer.drain_conn()
        except BaseException:
            answer.close()  # what is left of the answer is in the way of the next one
            raise
        finally:
            answer.release_conn()

    @staticmethod
    def _check(answer: urllib3.BaseHTTPResponse, store: S3Store, file: RemoteFile, start: int, length: int) -> None:
        """That the answer begins what was asked for."""
        if answer.status in _PASSING:
            raise _Passing(f"the answer was {answer.status} {answer.reason or ''}")
        if answer.status in _CHANGED:
            raise ObjectChanged(file.key)
        if answer.status not in (200, 206):
            raise StoreUnavailable(f"{file.key} of {store.source} was refused: {answer.status} {answer.reason or ''}")
        if answer.headers.get("ETag", file.etag) != file.etag:
            raise ObjectChanged(file.key)
        whole = (start, length) == (0, file.bytes)
        if answer.status == 200 and not (whole and int(answer.headers.get("Content-Length", -1)) == length):
            raise _Passing("the answer was not the range that was asked for")
        if answer.status == 206:
            bounds = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if bounds is None or tuple(map(int, bounds.groups())) != (start, start + length - 1, file.bytes):
                raise _Passing("the answer was not the range that was asked for")

    def _pool(self, url: Url) -> urllib3.PoolManager:
        proxy = None if proxy_bypass(url.host or "") else getproxies().get(url.scheme or "")
        with self._opening:
            if proxy not in self._pools:
                self._pools[proxy] = self._open_pool(proxy)
            return self._pools[proxy]

    def _open_pool(self, proxy: str | None) -> urllib3.PoolManager:
        options: dict[str, Any] = {
            "maxsize": self._connections,
            "timeout": Timeout(connect=self._patience.connect_timeout_s, read=self._patience.stall_timeout_s),
            "retries": False,
            "ca_certs": os.environ.get("AWS_CA_BUNDLE") or certifi.where(),
        }
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


class _Passing(Exception):
    """It may be over soon."""
