"""Which ROMs exist, and which of them are broken."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import ManifestError, RomUnavailable, UnknownRom
from app.roms.manifest import INDEX_NAME, TINY_DECODER, RomManifest, read_json, read_manifest, slug
from app.roms.store import RomStore
from app.roms.weights import count_parameters, find_weights, sha256_of

_MODELS = ("unet", "vae", "text_encoder", "text_encoder_2")
_OTHERS = ("scheduler", "tokenizer", "tokenizer_2")


@dataclass(frozen=True)
class Rom:
    """A ROM whose files have been looked at. `num_parameters` comes from the headers of the weights that are loaded."""

    manifest: RomManifest
    directory: Path
    num_parameters: int

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def has_tiny_decoder(self) -> bool:
        return (self.directory / TINY_DECODER).is_dir()


@dataclass
class Catalog:
    """ROMs by id, in the order of the sources. The first source that has an id wins."""

    roms: dict[str, Rom] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)  # id -> why

    def __iter__(self) -> Iterator[Rom]:
        return iter(list(self.roms.values()))

    def get(self, rom_id: str) -> Rom:
        """Raises UnknownRom, naming near ids, or RomUnavailable, with the reason."""
        if rom_id in self.roms:
            return self.roms[rom_id]
        if rom_id in self.quarantined:
            raise RomUnavailable(f"ROM {rom_id!r} is out of service: {self.quarantined[rom_id]}", param="model")
        near = difflib.get_close_matches(rom_id, self.roms, n=3, cutoff=0.5) or list(self.roms)[:3]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise UnknownRom(f"no ROM has the id {rom_id[:80]!r}{hint}", param="model")

    def quarantine(self, rom_id: str, reason: str) -> None:
        """Take a ROM out of service; the others go on."""
        self.roms.pop(rom_id, None)
        self.quarantined[rom_id] = reason


def read_catalog(stores: list[RomStore]) -> Catalog:
    """Look at every ROM of every store. A broken one is quarantined under its directory's name."""
    catalog = Catalog()
    for store in stores:
        for directory in store.directories():
            try:
                rom = read_rom(directory)
            except ManifestError as error:
                catalog.quarantined.setdefault(slug(directory.name), error.message)
            else:
                catalog.roms.setdefault(rom.id, rom)
    return catalog


def read_rom(directory: Path) -> Rom:
    """Check a ROM's manifest, files and weight headers. Raises ManifestError."""
    manifest = read_manifest(directory)
    for file in manifest.files:
        path = directory / file.path
        if not path.is_file():
            raise ManifestError(f"{file.path} is missing")
        if path.stat().st_size != file.bytes:
            raise ManifestError(f"{file.path} has {path.stat().st_size} bytes, the manifest says {file.bytes}")
    return Rom(manifest, directory, sum(_count(folder) for folder in _models(directory)))


def verify_digests(rom: Rom) -> None:
    """Compare every listed file with its sha256. Raises ManifestError naming the first that differs."""
    for file in rom.manifest.files:
        if sha256_of(rom.directory / file.path) != file.sha256:
            raise ManifestError(f"{file.path} does not have the sha256 of the manifest")


def _models(directory: Path) -> list[Path]:
    """The folders of weights that are loaded: of what model_index.json lists, and the tiny decoder.

    What else it lists, such as a safety checker, is not, and need not be there.
    """
    index = read_json(directory / INDEX_NAME) if (directory / INDEX_NAME).exists() else {}
    listed = [name for name, entry in index.items() if isinstance(entry, list) and entry[:1] not in ([], [None])]
    for name in listed:
        if name in (*_MODELS, *_OTHERS) and not (directory / name).is_dir():
            raise ManifestError(f"component {name!r} is missing: {INDEX_NAME} lists it, and there is no such folder")
    names = [name for name in listed if name in _MODELS]
    return [directory / name for name in (*names, TINY_DECODER) if (directory / name).is_dir()]


def _count(folder: Path) -> int:
    read_json(folder / "config.json")
    return sum(count_parameters(path) for path in find_weights(folder).files)
