"""Which ROMs exist, and which of them are broken."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.errors import ManifestError, RomUnavailable, UnknownRom
from app.roms.components import Component, read_components, read_flat_component
from app.roms.lora import inherit, lora_component, model_of, read_lora
from app.roms.manifest import (
    INDEX_NAME,
    INSTRUMENT_FAMILIES,
    MANIFEST_NAME,
    TINY_DECODER,
    UPSCALER_FAMILY,
    RomManifest,
    of_family,
    read_manifest,
    slug,
)
from app.roms.single_file import Checkpoint, find_checkpoint, open_checkpoint, read_checkpoint_components
from app.roms.upscalers import read_factors

_DIFFUSERS_FAMILIES = ("stable_diffusion", "stable_diffusion_xl", UPSCALER_FAMILY)


@dataclass(frozen=True)
class Rom:
    """A ROM whose files have been looked at."""

    manifest: RomManifest
    directory: Path
    components: tuple[Component, ...] = ()  # that are loaded; of a LoRA its base's, then itself
    base: Rom | None = None  # of a LoRA
    checkpoint: Checkpoint | None = None  # of a model in a single file
    factors: tuple[int, ...] = ()  # of an upscaler: what it enlarges width and height by

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def is_upscaler(self) -> bool:
        """Whether it enlarges images, and makes none."""
        return self.manifest.family == UPSCALER_FAMILY

    @property
    def is_instrument(self) -> bool:
        """Whether others use it, and no request can be for it."""
        return self.manifest.family in INSTRUMENT_FAMILIES

    @property
    def makes_images(self) -> bool:
        return not (self.is_upscaler or self.is_instrument)

    @property
    def num_parameters(self) -> int:
        return sum(component.num_parameters for component in self.components)

    @property
    def model_directory(self) -> Path:
        """Where the configs of its models are and, but for a single file, the weights that are no LoRA."""
        if self.base is not None:
            return self.base.model_directory
        return self.directory if self.checkpoint is None else self.checkpoint.configs

    @property
    def is_single_file(self) -> bool:
        """Whether its models, or its base's, are to be converted before they are loaded."""
        return (self.base or self).checkpoint is not None

    def moved_to(self, directory: Path) -> Rom:
        """The same, in another directory."""
        single = self.checkpoint and replace(self.checkpoint, path=directory / self.checkpoint.path.name, own=directory)
        return replace(self, directory=directory, checkpoint=single)

    def over(self, base: Rom) -> Rom:
        """A LoRA over this base, in the place of the one that it may have had."""
        before = self.base.components if self.base is not None else ()
        own = tuple(component for component in self.components if component not in before)
        return replace(self, components=(*base.components, *own), base=base)

    def files_of(self, component: Component) -> tuple[Path, ...]:
        """Those of its weights."""
        owner = self.base if self.base is not None and component in self.base.components else self
        return tuple(owner.directory / name for name in component.files)

    @property
    def has_tiny_decoder(self) -> bool:
        return any(component.name == TINY_DECODER for component in self.components)


@dataclass
class Catalog:
    """ROMs by id, in the order of the sources. Its dictionaries are replaced, never changed, so that none is torn."""

    roms: dict[str, Rom] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)  # id -> why
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

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
        with self._lock:
            self.roms = {key: rom for key, rom in self.roms.items() if key != rom_id}
            self.quarantined = {**self.quarantined, rom_id: reason}

    def release(self, rom: Rom) -> None:
        """Put it in service, again or for the first time."""
        with self._lock:
            self.roms = {**self.roms, rom.id: rom}
            self.quarantined = {rom_id: why for rom_id, why in self.quarantined.items() if rom_id != rom.id}

    def remove(self, rom_id: str) -> None:
        with self._lock:
            self.roms = {key: rom for key, rom in self.roms.items() if key != rom_id}

    def replace(self, other: Catalog) -> None:
        """Become like the other."""
        with self._lock:
            self.roms, self.quarantined = other.roms, other.quarantined


def lay_over_bases(catalog: Catalog) -> None:
    """Give every LoRA its base; one whose base does not take it is quarantined."""
    for rom in catalog:
        if rom.manifest.base is not None:
            try:
                catalog.release(lay_over_base(rom, catalog))
            except ManifestError as error:
                catalog.quarantine(rom.id, error.message)


def lay_over_base(rom: Rom, catalog: Catalog) -> Rom:
    """A LoRA as it was read, with its base, whichever source has that. Raises ManifestError."""
    try:
        base = catalog.get(rom.manifest.base or "")
    except (UnknownRom, RomUnavailable) as error:
        raise ManifestError(f"its base: {error.message}") from error
    manifest = inherit(rom.manifest, base.manifest)
    if missing := {one.name for one in rom.components} - {lora_component(one.name) for one in base.components}:
        names = ", ".join(sorted(model_of(name) for name in missing))
        raise ManifestError(f"its weights are for {names}, which its base {base.id!r} has not")
    return replace(rom, manifest=manifest).over(base)


def read_rom(path: Path) -> Rom:
    """Check a ROM's manifest, files and weight headers. A LoRA does not have its base yet. Raises ManifestError.

    `path` is a directory, or a file that is a ROM by itself.
    """
    if path.is_file():
        checkpoint = open_checkpoint(path)
        manifest = RomManifest(id=slug(path.stem), title=path.stem, family=checkpoint.architecture.family)
        return Rom(manifest, path.parent, read_checkpoint_components(checkpoint), checkpoint=checkpoint)
    manifest = read_manifest(path)
    _check_files(path, manifest)
    if manifest.base is not None:
        return Rom(manifest, path, read_lora(path, manifest))
    if manifest.family in INSTRUMENT_FAMILIES:
        return Rom(manifest, path, (read_flat_component(path, manifest),))
    if not (path / INDEX_NAME).exists() and (found := find_checkpoint(path)):
        manifest = of_family(manifest, found.architecture.family, found.path.name)
        return Rom(manifest, path, read_checkpoint_components(found), checkpoint=found)
    if not manifest.family:
        raise ManifestError(f"{MANIFEST_NAME}: family: required where there is no checkpoint in one file to tell it")
    if manifest.family in _DIFFUSERS_FAMILIES and not (path / INDEX_NAME).exists():
        raise ManifestError(f"it holds neither {INDEX_NAME} nor a checkpoint in one file")
    components = read_components(path, manifest)
    return Rom(manifest, path, components, factors=read_factors(path) if manifest.family == UPSCALER_FAMILY else ())


def _check_files(directory: Path, manifest: RomManifest) -> None:
    for file in manifest.files:
        path = directory / file.path
        if not path.is_file():
            raise ManifestError(f"{file.path} is missing")
        if path.stat().st_size != file.bytes:
            raise ManifestError(f"{file.path} has {path.stat().st_size} bytes, the manifest says {file.bytes}")
