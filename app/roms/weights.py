"""Weight files, judged by their content: safetensors only, whole, of known size before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path

from app.errors import ManifestError

_MAX_HEADER_BYTES = 100 * 1024 * 1024
_PICKLE_SIGNS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
_SAFE_SUFFIX = ".safetensors"
_WEIGHT_SUFFIXES = {_SAFE_SUFFIX, ".bin", ".pt", ".pth", ".ckpt"}


def weight_files(directory: Path) -> list[Path]:
    """The weight files below `directory`, by name. A folder that has safetensors is read from them alone."""
    found = [path for path in directory.rglob("*") if path.suffix in _WEIGHT_SUFFIXES and path.is_file()]
    safe = {path.parent for path in found if path.suffix == _SAFE_SUFFIX}
    return sorted(path for path in found if path.suffix == _SAFE_SUFFIX or path.parent not in safe)


def count_parameters(path: Path) -> int:
    """Number of values in a safetensors file, from its header.

    Raises ManifestError when the file is missing, a pickle, truncated, or no safetensors at all.
    """
    try:
        with path.open("rb") as file:
            head, first = file.read(8), file.read(1)
            size = path.stat().st_size
            if head.startswith(_PICKLE_SIGNS) and first != b"{":  # a header may be 0x0280 bytes long
                raise ManifestError(
                    f"{path.name} is a pickle, which can run code when opened; convert it on a machine you trust with"
                    " safetensors.torch.save_file(torch.load(path, weights_only=True), 'model.safetensors')"
                )
            header_bytes = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= header_bytes <= min(_MAX_HEADER_BYTES, size):
                raise ManifestError(f"{path.name} is not a safetensors file, or is cut short")
            header = json.loads(first + file.read(header_bytes - 1))
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            end = 8 + header_bytes + max((entry["data_offsets"][1] for entry in tensors), default=0)
            if size != end:
                raise ManifestError(f"{path.name} is cut short or damaged: {size} bytes, its header promises {end}")
            return sum(math.prod(entry["shape"]) for entry in tensors)
    except OSError as error:
        raise ManifestError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(f"{path.name} has no valid safetensors header") from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
