"""What S3 knows of an object's bytes, where the ROM's manifest has no sha256 of them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from awscrt import checksums

_MD5_ETAG = re.compile(r'"[0-9a-f]{32}"')  # of an object that came in one part
_READABLE_ENCRYPTION = (None, "AES256")  # with any other the ETag is no MD5
_CRCS: Mapping[str, tuple[Callable[[bytes, int], int], int]] = {  # name of the field -> function, bytes
    "ChecksumCRC64NVME": (checksums.crc64nvme, 8),
    "ChecksumCRC32C": (checksums.crc32c, 4),
    "ChecksumCRC32": (checksums.crc32, 4),
}


class Check(Protocol):
    """Takes the bytes of a file in order and says in the end whether they were right."""

    def update(self, chunk: bytes, /) -> None: ...
    def agrees(self) -> bool: ...


class Sha256Check:
    """Of an expected hex digest, or of none."""

    def __init__(self, expected: str | None = None) -> None:
        self._expected = expected
        self._hash = hashlib.sha256()

    def update(self, chunk: bytes, /) -> None:
        self._hash.update(chunk)

    def agrees(self) -> bool:
        return self._expected in (None, self.digest())

    def digest(self) -> str:
        return self._hash.hexdigest()


class _CrcCheck:
    def __init__(self, function: Callable[[bytes, int], int], length: int, expected: str) -> None:
        self._function, self._length, self._expected = function, length, expected
        self._value = 0

    def update(self, chunk: bytes, /) -> None:
        self._value = self._function(chunk, self._value)

    def agrees(self) -> bool:
        return base64.b64encode(self._value.to_bytes(self._length, "big")).decode() == self._expected


class _Md5Check:
    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._hash = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes, /) -> None:
        self._hash.update(chunk)

    def agrees(self) -> bool:
        return self._hash.hexdigest() == self._expected


def check_of(head: Mapping[str, Any]) -> Check | None:
    """By the cheapest checksum of the whole object in the answer to HEAD; None: there is none.

    An object uploaded in parts may have a checksum of its parts' checksums only, which says nothing without the parts.
    """
    is_whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    for name, (function, length) in _CRCS.items():
        if is_whole and name in head:
            return _CrcCheck(function, length, head[name])
    if is_whole and "ChecksumSHA256" in head:
        return Sha256Check(base64.b64decode(head["ChecksumSHA256"]).hex())
    if _MD5_ETAG.fullmatch(head["ETag"]) and head.get("ServerSideEncryption") in _READABLE_ENCRYPTION:
        return _Md5Check(head["ETag"].strip('"'))
    return None
