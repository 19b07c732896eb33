"""Which ROMs exist, and which of them are broken."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import ManifestError, RomUnavailable, UnknownRom
from app.roms.components import Component, read_components
from app.roms.manifest import TINY_DECODER, RomManifest, read_manifest, slug
from app.roms.store import FileStore, RomStore
from app.roms.weights import sha256_of


@dataclass(frozen=True)
class Rom:
    """A ROM whose files have been looked at."""

    manifest: RomManifest
    directory: Path
    components: tuple[Component, ...] = ()  # that are loaded

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def num_parameters(self) -> int:
        return sum(component.num_parameters for component in self.components)

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
    """Look at every ROM of every local store. A broken one is quarantined under its directory's name."""
    catalog = Catalog()
    for store in stores:
        if not isinstance(store, FileStore):
            continue
        for directory in store.directories():
            try:
                rom = read_rom(directory)
            except ManifestError as error:
                catalog.quarantined.setdefault(slug(directory.name), error.message)
            else:
                catalog.roms.setdefault(rom.id, rom)
        for name, reason in store.broken.items():
            catalog.quarantined.setdefault(slug(name), reason)
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
    return Rom(manifest, directory, read_components(directory, manifest))


def verify_digests(rom: Rom) -> None:
    """Compare every listed file with its sha256. Raises ManifestError naming the first that differs."""
    for file in rom.manifest.files:
        if sha256_of(rom.directory / file.path) != file.sha256:
            raise ManifestError(f"{file.path} does not have the sha256 of the manifest")
