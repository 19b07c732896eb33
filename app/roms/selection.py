"""Which files of a ROM are needed to run it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.roms.components import OTHERS, listed_models
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME, RomManifest
from app.roms.weights import pick_weights

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".onnx", ".onnx_data", ".pb", ".gguf")


@dataclass(frozen=True)
class Selection:
    """Paths in the ROM."""

    large: tuple[str, ...]  # weights
    small: tuple[str, ...]  # everything else that is needed


def select(paths: Collection[str], index: Mapping[str, Any], manifest: RomManifest) -> Selection:
    """Of these paths: what the manifest lists, what describes the models, and one variant of the weights of each.

    Without an index, of a LoRA or a single file, it is everything. Raises ManifestError when a component is missing, or
    a part of its weights.
    """
    if not index:
        weights = {path for path in paths if path.endswith(WEIGHTS)}
        return Selection(tuple(sorted(weights)), tuple(sorted(set(paths) - weights)))
    classes = listed_models(index, {path.partition("/")[0] for path in paths if "/" in path})
    large = [path for name in classes for path in _weights(name, paths)]
    folders = {*classes, *(name for name in index if name in OTHERS)}
    described = {path for path in paths if path.partition("/")[0] in folders and not path.endswith(WEIGHTS)}
    listed = {file.path for file in manifest.files}
    heads = {name for name in (MANIFEST_NAME, INDEX_NAME) if name in paths}
    small = heads | described | listed
    return Selection(tuple(large), tuple(sorted(small.difference(large))))


def _weights(folder: str, paths: Collection[str]) -> tuple[str, ...]:
    """Those directly in the component's folder."""
    parts = [path.split("/") for path in paths]
    names = [rest[0] for first, *rest in parts if first == folder and len(rest) == 1]
    return tuple(f"{folder}/{name}" for name in pick_weights(folder, names).files)
