"""Between a client and S3: passes requests on, notes them, and does to some answers what networks do."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_PIECE_BYTES = 16 * 1024
_HOPS = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@dataclass(frozen=True)
class Fault:
    kind: Literal["reset", "truncate", "stall", "garble", "status"]
    after: int = 0  # bytes of the body that still arrive
    status: int = 503


@dataclass(frozen=True)
class Request:
    """A GET of an object."""

    key: str
    start: int
    length: int


@dataclass
class Notes:
    """What was asked for, and what is to happen."""

    requests: list[Request] = field(default_factory=list)  # of objects
    served_bytes: int = 0
    faults: deque[Fault | None] = field(default_factory=deque)  # of the next ranges that are longer than a header
    before: Callable[[Request], None] = lambda request: None
    on_served: Callable[[int], None] = lambda total: None  # all bytes until now
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def requested_bytes(self, suffix: str = "") -> int:
        return sum(request.length for request in self.requests if request.key.endswith(suffix))

    def serve(self, nbytes: int) -> None:
        with self.lock:
            self.served_bytes += nbytes
            total = self.served_bytes
        self.on_served(total)


@dataclass(frozen=True)
class FaultProxy:
    url: str
    notes: Notes

    def forget(self) -> None:
        """A fresh start."""
        self.notes.requests.clear()
        self.notes.faults.clear()
        self.notes.served_bytes = 0
        self.notes.before = lambda request: None
        self.notes.on_served = lambda total: None


@contextmanager
def running_proxy(upstream: str) -> Iterator[FaultProxy]:
    notes, host = Notes(), urlsplit(upstream).netloc

    class Handler(_Handler):
        origin = host

    Handler.notes = notes
    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield FaultProxy(f"http://127.0.0.1:{server.server_port}", notes)
    finally:
        notes.ended.set()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or was killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    origin: str
    notes: Notes

    def do_GET(self) -> None:
        request, fault = self._note()
        if fault is not None and fault.kind == "status":
            self._answer(fault.status, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
            return
        status, headers, body = self._forward()
        if fault is not None and fault.kind == "garble":
            body = body[: fault.after] + bytes(255 - byte for byte in body[fault.after :])
            fault = None
        self._answer(status, headers, body, fault, counts=request is not None)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *values: object) -> None:
        """Nothing: tests look at the notes."""

    def _note(self) -> tuple[Request | None, Fault | None]:
        bounds = _RANGE.fullmatch(self.headers.get("Range", ""))
        if self.command != "GET" or bounds is None:
            return None, None
        start, end = map(int, bounds.groups())
        request = Request(unquote(urlsplit(self.path).path), start, end - start + 1)
        with self.notes.lock:
            self.notes.requests.append(request)
            fault = self.notes.faults.popleft() if self.notes.faults else None
        self.notes.before(request)
        return request, fault

    def _forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.origin)
        connection.request(self.command, self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, [item for item in answer.getheaders() if item[0].lower() not in _HOPS], body

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        fault: Fault | None = None,
        counts: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body) if fault is None else min(fault.after, len(body)), _PIECE_BYTES):
            end = start + _PIECE_BYTES if fault is None else min(fault.after, start + _PIECE_BYTES)
            self.wfile.write(body[start:end])
            if counts:
                self.notes.serve(len(body[start:end]))
        if fault is not None:
            self._break_off(fault)

    def _break_off(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.kind == "stall":
            self.connection.settimeout(None)
            self.connection.recv(1)  # until the client has had enough
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
