"""A ROM made of a public model's manifest and of weights that the user has."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from app.errors import DiskUnavailable, ManifestError, SettingsError, UnknownModel
from app.roms.catalog import Rom, read_rom
from app.roms.components import MODELS, OTHERS
from app.roms.manifest import (
    INDEX_NAME,
    MANIFEST_NAME,
    TINY_DECODER,
    RomFile,
    RomManifest,
    family_of_index,
    read_json,
    read_manifest,
)
from app.roms.selection import WEIGHTS, select
from app.roms.single_file import find_checkpoint, open_checkpoint
from app.roms.weights import sha256_of

_FOLDERS = frozenset((*MODELS, *OTHERS, TINY_DECODER))


@dataclass(frozen=True)
class Published:
    """A public model as the catalog tells of it: everything but its files."""

    manifest: RomManifest
    text: str  # of its rom.yaml

    def check_family(self, family: str, whose: str) -> None:
        """Raises ManifestError where weights of this family are not such a model's."""
        if family != self.manifest.family:
            expected = self.manifest.family
            raise ManifestError(f"ROM {self.manifest.id!r} is of family {expected!r}, and {whose} is of {family!r}")


def find_published(catalog: Path, rom_id: str) -> Published:
    """Raises SettingsError where there is no such catalog, UnknownModel, naming those it has, or ManifestError."""
    if not catalog.is_dir():
        raise SettingsError(f"the catalog {catalog} is not a directory")
    known = sorted(path.parent.name for path in catalog.glob(f"*/{MANIFEST_NAME}"))
    if rom_id not in known:
        raise UnknownModel(f"the catalog {catalog} has no {rom_id!r}; it has: {', '.join(known) or 'nothing'}")
    manifest = read_manifest(catalog / rom_id)
    if manifest.id != rom_id:
        raise ManifestError(f"{catalog / rom_id / MANIFEST_NAME}: id: {manifest.id!r}, and the folder is {rom_id!r}")
    return Published(manifest, (catalog / rom_id / MANIFEST_NAME).read_text(encoding="utf-8"))


def target_of(published: Published, store: Path) -> Path:
    """Where the ROM will be. Raises SettingsError where something is there already."""
    target = store / published.manifest.id
    if target.exists() or target.is_symlink():
        raise SettingsError(f"{target} is there already; remove it first, or say with --to where else to")
    return target


def add_rom(published: Published, source: Path, store: Path) -> Rom:
    """Make `store`/<id> of the weights in `source`, a diffusers directory or a checkpoint in one file.

    It appears whole and checked, or not at all. Weights are linked where the disk is the same, and else copied. Raises
    SettingsError where it is there already, ManifestError where the weights are none or another model's, or
    DiskUnavailable.
    """
    target = target_of(published, store)
    files = _files_of(published, source)
    try:
        with _draft_beside(target) as draft:
            for path, origin in files.items():
                _bring(origin, draft / path)
            (draft / MANIFEST_NAME).write_text(_text_with_files(published, draft, files), encoding="utf-8")
            rom = read_rom(draft)
            os.rename(draft, target)  # which fails where somebody else made it meanwhile
    except OSError as error:
        raise DiskUnavailable(f"{target} cannot be made: {error.strerror}") from error
    return rom.moved_to(target)


def _files_of(published: Published, source: Path) -> dict[str, Path]:
    """What is needed of the source, by its path in the ROM. Raises ManifestError."""
    if source.is_file():
        published.check_family(open_checkpoint(source).architecture.family, source.name)
        return {f"{published.manifest.id}{source.suffix}": source}
    if not source.is_dir():
        raise ManifestError(f"{source} is not there")
    paths = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.split("/"))]
    if not (source / INDEX_NAME).exists():
        return _files_of_checkpoint(published, source, shown)
    published.check_family(family_of_index(source), f"{source} by its {INDEX_NAME}")
    selection = select(shown, read_json(source / INDEX_NAME), published.manifest)
    return {path: source / path for path in (*selection.small, *selection.large) if path != MANIFEST_NAME}


def _files_of_checkpoint(published: Published, source: Path, paths: list[str]) -> dict[str, Path]:
    """One file of weights, with the configs and tokenizers that lie beside it."""
    found = find_checkpoint(source)
    if found is None:
        raise ManifestError(f"{source} has no weights: neither {INDEX_NAME} nor a checkpoint in one file")
    published.check_family(found.architecture.family, found.path.name)
    files = {f"{published.manifest.id}{found.path.suffix}": found.path}
    for path in paths:
        folder, slash, _ = path.partition("/")
        if slash and folder in _FOLDERS and (folder == TINY_DECODER or not path.endswith(WEIGHTS)):
            files[path] = source / path
    return files


@contextmanager
def _draft_beside(target: Path) -> Iterator[Path]:
    """A folder to be renamed to `target`, in one that no service takes for a ROM and that goes in the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        draft = room / target.name
        draft.mkdir()
        yield draft
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _bring(origin: Path, path: Path) -> None:
    """Small files are copied, so that who edits the original does not change the ROM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    origin = origin.resolve()  # a cache of repositories has links to its blobs
    if not (path.suffix in WEIGHTS and _link(origin, path)):
        shutil.copyfile(origin, path)


def _link(origin: Path, path: Path) -> bool:
    """Whether that went: not to another disk, nor where the file is another's."""
    try:
        os.link(origin, path)
    except OSError:
        return False
    return True


def _text_with_files(published: Published, draft: Path, files: Mapping[str, Path]) -> str:
    """The catalog's text, and below it the files that are in `draft`."""
    try:
        listed = [
            RomFile(path=path, bytes=(draft / path).stat().st_size, sha256=sha256_of(draft / path))
            for path in sorted(files)
        ]
    except ValidationError as error:
        raise ManifestError(f"{error.errors()[0]['input']!r} is no name for a file of a ROM") from error
    content = {"files": [file.model_dump() for file in listed]}
    return f"{published.text.rstrip()}\n{yaml.safe_dump(content, sort_keys=False, width=120)}"
