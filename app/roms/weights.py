"""Weight files, judged by their content: safetensors only, whole, of known size before anything is loaded.

The folder of a component may hold the same weights several times, as public repositories do: in half precision, without
the moving average, as pickles. One variant is loaded, and it alone counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from app.errors import ManifestError

_MAX_HEADER_BYTES = 100 * 1024 * 1024
_PICKLE_SIGNS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
_PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt"}
_NAME = re.compile(
    r"(diffusion_pytorch_model|model)(\.(?P<variant>[^.]+?))?(-(?P<shard>\d{5})-of-(?P<shards>\d{5}))?\.safetensors"
)


@dataclass(frozen=True)
class Weights:
    """One variant of a component's weights; none: the plain one."""

    variant: str | None
    files: tuple[Path, ...]


def find_weights(folder: Path) -> Weights:
    """The plain variant or, where there is none, the first by name; pickles where there is nothing else.

    Raises ManifestError when there are no weights, or a part of them is missing.
    """
    found: dict[str, list[re.Match[str]]] = {}
    for match in map(_NAME.fullmatch, sorted(path.name for path in folder.iterdir() if path.is_file())):
        if match:
            found.setdefault(match["variant"] or "", []).append(match)
    if found:
        variant = min(found)
        return Weights(variant or None, tuple(folder / name for name in _whole(folder, found[variant])))
    pickles = sorted(path for path in folder.iterdir() if path.suffix in _PICKLE_SUFFIXES)
    if not pickles:
        raise ManifestError(f"component {folder.name!r} has no weights (a .safetensors file as diffusers names it)")
    return Weights(None, tuple(pickles))


def _whole(folder: Path, matches: list[re.Match[str]]) -> list[str]:
    """The file of a variant, or all of those it is split into."""
    single = [match.string for match in matches if not match["shards"]]
    if single:
        return single
    parts = int(matches[0]["shards"])
    if len(matches) < parts:
        missing = parts - len(matches)
        raise ManifestError(f"component {folder.name!r} lacks {missing} of the {parts} parts of its weights")
    return [match.string for match in matches]


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
