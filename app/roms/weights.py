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
from typing import Any

from app.errors import ManifestError

HEADER_START = 9  # bytes that tell how long the header is, and a pickle from one
_METADATA = "__metadata__"
_MAX_HEADER_BYTES = 100 * 1024 * 1024
_PICKLE_SIGNS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
_PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt"}
_NAME = re.compile(
    r"(diffusion_pytorch_model|model)(\.(?P<variant>[^.]+?))?(-(?P<shard>\d{5})-of-(?P<shards>\d{5}))?\.safetensors"
)


@dataclass(frozen=True)
class Weights:
    """The names of one variant's files; a variant that is None is the plain one."""

    variant: str | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class WeightsHeader:
    """What a safetensors file says of itself at its beginning."""

    num_parameters: int  # values in all tensors
    outline: str  # sha256 of the names, shapes, types and places of the tensors


def find_weights(folder: Path) -> Weights:
    """The weights in a component's folder; see `pick_weights`."""
    return pick_weights(folder.name, [path.name for path in folder.iterdir() if path.is_file()])


def pick_weights(component: str, names: list[str]) -> Weights:
    """Of the files in a component's folder: the plain variant or, where there is none, the first by name.

    Pickles where there is nothing else. Raises ManifestError when there are no weights, or a part of them is missing.
    """
    found: dict[str, list[re.Match[str]]] = {}
    for match in map(_NAME.fullmatch, sorted(names)):
        if match:
            found.setdefault(match["variant"] or "", []).append(match)
    if found:
        variant = min(found)
        return Weights(variant or None, tuple(_whole(component, found[variant])))
    pickles = sorted(name for name in names if Path(name).suffix in _PICKLE_SUFFIXES)
    if not pickles:
        raise ManifestError(f"component {component!r} has no weights (a .safetensors file as diffusers names it)")
    return Weights(None, tuple(pickles))


def _whole(component: str, matches: list[re.Match[str]]) -> list[str]:
    """The file of a variant, or all of those it is split into."""
    single = [match.string for match in matches if not match["shards"]]
    if single:
        return single
    parts = int(matches[0]["shards"])
    if len(matches) < parts:
        missing = parts - len(matches)
        raise ManifestError(f"component {component!r} lacks {missing} of the {parts} parts of its weights")
    return [match.string for match in matches]


def read_header(path: Path) -> WeightsHeader:
    """Raises ManifestError when the file is missing, a pickle, truncated, or no safetensors at all."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(HEADER_START)
            return parse_header(path.name, head + file.read(header_end(path.name, head, size) - HEADER_START), size)
    except OSError as error:
        raise ManifestError(f"{path.name} cannot be read: {error.strerror}") from error


def header_end(name: str, head: bytes, size: int) -> int:
    """Where the header of a file of `size` bytes ends, by its first HEADER_START bytes.

    Raises ManifestError when it is a pickle, or no safetensors at all.
    """
    if head.startswith(_PICKLE_SIGNS) and head[8:9] != b"{":  # a header may be 0x0280 bytes long
        raise ManifestError(
            f"{name} is a pickle, which can run code when opened; convert it with: cartridge roms convert {name}"
        )
    header_bytes = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
    if not 2 <= header_bytes <= min(_MAX_HEADER_BYTES, size):
        raise ManifestError(f"{name} is not a safetensors file, or is cut short")
    return 8 + int(header_bytes)


def parse_header(name: str, head: bytes, size: int) -> WeightsHeader:
    """Of a file of `size` bytes, by its first bytes up to `header_end` or more.

    Raises ManifestError where the header is none, or promises another size.
    """
    text = head[8 : header_end(name, head, size)]
    try:
        header = json.loads(text)
        header.pop(_METADATA, None)
        tensors = list(header.values())
        end = 8 + len(text) + max((entry["data_offsets"][1] for entry in tensors), default=0)
        num_parameters = sum(math.prod(entry["shape"]) for entry in tensors)
        if size != end:
            raise ManifestError(f"{name} is cut short or damaged: {size} bytes, its header promises {end}")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(f"{name} has no valid safetensors header") from error
    return WeightsHeader(num_parameters, hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest())


def read_tensors(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by their names. Raises ManifestError as `read_header` does."""
    return {name: tuple(entry["shape"]) for name, entry in _read_entries(path).items() if name != _METADATA}


def read_metadata(path: Path) -> dict[str, str]:
    """What a file's maker noted in its header. Raises ManifestError as `read_header` does."""
    metadata = _read_entries(path).get(_METADATA)
    return metadata if isinstance(metadata, dict) else {}


def find_only_file(directory: Path) -> Path | None:
    """The one file of weights in a directory itself; a pickle where there is nothing else; None where there is none.

    Raises ManifestError where there are several.
    """
    files = sorted(path for path in directory.iterdir() if path.is_file())
    found = [path for path in files if path.suffix == ".safetensors"]
    found = found or [path for path in files if path.suffix in _PICKLE_SUFFIXES]
    if len(found) > 1:
        raise ManifestError(f"holds several files of weights, of which one is to be left: {_names(found)}")
    return found[0] if found else None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_entries(path: Path) -> dict[str, Any]:
    read_header(path)  # raises what is wrong with it
    with path.open("rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        entries: dict[str, Any] = json.loads(file.read(size))
    return entries


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)
