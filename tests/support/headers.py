"""Weight files made by hand, whole or damaged."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def write_safetensors(path: Path, tensors: dict[str, tuple[int, ...]], header_bytes: int = 0) -> Path:
    """Float32 zeros of the given shapes; the header is padded with spaces to `header_bytes`, as the format allows."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        start, count = end, 1
        for size in shape:
            count *= size
        end = start + 4 * count
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    return write_header(path, json.dumps(header).encode().ljust(header_bytes), b"\0" * end)


def write_header(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path
