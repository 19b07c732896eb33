"""Frames of `application/vnd.amazon.eventstream`, as the SDKs decode them.

A frame is a prelude (total length, length of the headers, checksum of both), headers, a payload, and a checksum of
everything before it; numbers are big-endian.
"""

from __future__ import annotations

import json
import struct
from binascii import crc32
from collections.abc import Mapping

_OVERHEAD = 16  # bytes: the prelude of 12 and the checksum of 4
_STRING = 7  # the type of a header's value


def payload_part(data: bytes) -> bytes:
    """A piece of the model's response."""
    headers = {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    return encode(headers, data)


def stream_error(kind: str, **members: str) -> bytes:
    """What ends a stream that cannot go on: ModelStreamError or InternalStreamFailure."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode(headers, json.dumps(members).encode())


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame; every header is a string."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    lengths = struct.pack("!II", len(head) + len(payload) + _OVERHEAD, len(head))
    before = lengths + struct.pack("!I", crc32(lengths)) + head + payload
    return before + struct.pack("!I", crc32(before))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
