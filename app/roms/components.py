"""The models that a ROM is made of, as its files describe them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import ManifestError
from app.roms.manifest import INDEX_NAME, TINY_DECODER, RomManifest, read_json
from app.roms.weights import WeightsHeader, find_weights, read_header

MODELS = ("unet", "vae", "text_encoder", "text_encoder_2", "upscaler")
OTHERS = ("scheduler", "low_res_scheduler", "tokenizer", "tokenizer_2")


@dataclass(frozen=True)
class Component:
    """One model of a ROM."""

    name: str  # its folder
    class_name: str  # of diffusers or transformers
    files: tuple[str, ...]  # of its weights, as paths in the ROM
    num_parameters: int
    outline: str  # equal for equal weights of an equal config: sha256 of the config and the weights' headers
    digests: tuple[str, ...] = ()  # sha256 of each file; none where the manifest does not tell


def read_components(directory: Path, manifest: RomManifest) -> tuple[Component, ...]:
    """Those that are loaded: of what model_index.json lists, and the tiny decoder.

    What else it lists, such as a safety checker, is not, and need not be there. Raises ManifestError.
    """
    index = read_json(directory / INDEX_NAME) if (directory / INDEX_NAME).exists() else {}
    classes = listed_models(index, {path.name for path in directory.iterdir() if path.is_dir()})
    digests = {file.path: file.sha256 for file in manifest.files}
    return tuple(_read(directory, name, class_name, digests) for name, class_name in classes.items())


def read_flat_component(directory: Path, manifest: RomManifest) -> Component:
    """The one model whose config and weights lie in the ROM's own directory. Raises ManifestError."""
    config = read_json(directory / "config.json")
    class_name = config.get("_class_name") or next(iter(config.get("architectures") or ()), manifest.family)
    headers = {name: read_header(directory / name) for name in find_weights(directory).files}
    return describe(manifest.family, class_name, config, headers, {file.path: file.sha256 for file in manifest.files})


def describe(
    name: str, class_name: str, config: dict[str, Any], headers: Mapping[str, WeightsHeader], digests: Mapping[str, str]
) -> Component:
    """A component of this config and these weights, by their paths in the ROM; `digests` likewise, of some files."""
    outline = hashlib.sha256(repr(sorted(config.items())).encode())
    for header in headers.values():
        outline.update(header.outline.encode())
    return Component(
        name,
        class_name,
        tuple(headers),
        sum(header.num_parameters for header in headers.values()),
        outline.hexdigest(),
        tuple(digests[path] for path in headers) if headers.keys() <= digests.keys() else (),
    )


def listed_models(index: Mapping[str, Any], folders: Collection[str]) -> dict[str, str]:
    """The class of each model that is loaded, by its folder. Raises ManifestError when a listed folder is missing."""
    classes = {name: str(entry[-1]) for name, entry in index.items() if _is_listed(entry)}
    for name in classes:
        if name in (*MODELS, *OTHERS) and name not in folders:
            raise ManifestError(f"component {name!r} is missing: {INDEX_NAME} lists it, and there is no such folder")
    classes = {name: class_name for name, class_name in classes.items() if name in MODELS}
    if TINY_DECODER in folders:
        classes[TINY_DECODER] = "AutoencoderTiny"
    return classes


def _is_listed(entry: Any) -> bool:
    return isinstance(entry, list) and entry[:1] not in ([], [None])


def _read(directory: Path, name: str, class_name: str, digests: Mapping[str, str]) -> Component:
    config = read_json(directory / name / "config.json")
    paths = [f"{name}/{file}" for file in find_weights(directory / name).files]
    return describe(name, class_name, config, {path: read_header(directory / path) for path in paths}, digests)
