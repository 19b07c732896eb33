"""Prompts of which it is known what domain they are of, and the manifests that they are routed over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from app.errors import ManifestError
from app.roms.manifest import INSTRUMENT_FAMILIES, MANIFEST_NAME, RomManifest, read_manifest


@dataclass(frozen=True)
class LabelledPrompt:
    text: str
    domain: str  # one that no ROM of the catalog has: out of domain


def read_labelled(path: Path) -> list[LabelledPrompt]:
    """JSON lines with `prompt` and `domain`. ValueError naming the file and the line, OSError where there is none."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{number}: no JSON: {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path}:{number}: must be an object")
        for key in ("prompt", "domain"):
            if not isinstance(content.get(key), str):
                raise ValueError(f"{path}:{number}: {key} must be a string")
        found.append(LabelledPrompt(content["prompt"], content["domain"]))
    if not found:
        raise ValueError(f"{path}: holds no prompts")
    return found


def read_catalog(folder: Path) -> dict[str, RomManifest]:
    """The manifests in the folders of `folder`, by id; no weights are needed. ROMs that others use are left out.

    ValueError naming what is wrong.
    """
    manifests: dict[str, RomManifest] = {}
    for path in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
        try:
            manifest = read_manifest(path.parent)
        except ManifestError as error:
            raise ValueError(f"{path.parent}: {error.message}") from error
        if manifest.id in manifests:
            raise ValueError(f"{path}: another ROM has the id {manifest.id!r}")
        if manifest.family not in INSTRUMENT_FAMILIES:
            manifests[manifest.id] = manifest
    if not manifests:
        raise ValueError(f"{folder}: no folder in it has a {MANIFEST_NAME}")
    return manifests
