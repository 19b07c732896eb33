"""Models that the platform loads and unloads by names of its own: SageMaker's multi-model contract."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import InvalidRequest, ManifestError, ModelConflict, NotReady, RomUnavailable, UnknownModel
from app.roms.catalog import Rom, lay_over_base, read_rom
from app.roms.library import RomLibrary
from app.roms.manifest import MANIFEST_NAME, slug
from app.roms.store import FileStore

if TYPE_CHECKING:
    from app.model_cache import ModelCache

_PAGE = 100
_SHOWN = 200  # characters of a url in an error
_NUMBERED = 58  # characters of an id that a number may follow


@dataclass(frozen=True)
class HostedModel:
    name: str  # the platform's; opaque
    url: str  # the directory that it unpacked the model into
    rom_id: str


class HostedModels:
    """Each is a ROM that stays in memory until the platform unloads it."""

    def __init__(self, library: RomLibrary, cache: ModelCache, unpack_dir: Path | None = None) -> None:
        self._library = library
        self._unpack_dir = unpack_dir  # for archives
        self._cache = cache
        self._models: dict[str, HostedModel] = {}
        self._changing = threading.Lock()  # one load or unload at a time, as the platform does it

    def load(self, name: str, url: str) -> HostedModel:
        """Ready to serve on return.

        Raises ModelConflict where it is loaded already, OutOfRomMemory where other loaded models leave no room,
        InvalidRequest for a `url` that is no directory, RomUnavailable for a broken ROM.
        """
        with self._changing:
            if name in self._models:
                raise ModelConflict(f"the model {name!r} is loaded already", param="model_name")
            try:
                rom = self._read(name, url)
                self._cache.pin(rom)
            except ManifestError as error:
                raise RomUnavailable(f"the model {name!r} is no ROM: {error.message}", param="url") from error
            self._library.catalog.release(rom)
            model = HostedModel(name, url, rom.id)
            self._models = {**self._models, name: model}
            return model

    def unload(self, name: str) -> HostedModel:
        """Its memory is back on return. Raises UnknownModel, or NotReady where those who use it do not end in time."""
        with self._changing:
            model = self.get(name)
            rom = self._library.catalog.get(model.rom_id)
            self._library.catalog.remove(rom.id)  # nobody asks for it from here on
            try:
                self._cache.unload(rom.id)
            except NotReady:
                self._library.catalog.release(rom)
                raise
            self._models = {key: other for key, other in self._models.items() if key != name}
            return model

    def get(self, name: str) -> HostedModel:
        """Raises UnknownModel."""
        if name not in self._models:
            raise UnknownModel(f"no model {name[:80]!r} is loaded", param="model_name")
        return self._models[name]

    def page(self, token: str | None = None) -> tuple[list[HostedModel], str | None]:
        """Models in the order of their names, from the token of the page before on; and the token of the next page."""
        names = sorted(name for name in self._models if token is None or name > token)
        models = [self._models[name] for name in names[:_PAGE]]
        return models, models[-1].name if len(names) > _PAGE else None

    def _read(self, name: str, url: str) -> Rom:
        directory = Path(url.removeprefix("file://"))
        if not _is_directory(directory):
            raise InvalidRequest(f"{url[:_SHOWN]!r} is no directory", param="url")
        store = FileStore(directory, self._unpack_dir)
        found = store.directories()
        if not found and store.broken:
            raise ManifestError(next(iter(store.broken.values())))
        if len(found) != 1:
            raise ManifestError(f"{url} holds {len(found)} ROMs; it must be one")
        rom = read_rom(found[0])
        if rom.manifest.base is not None:
            rom = lay_over_base(rom, self._library.catalog)
        is_named = (found[0] / MANIFEST_NAME).exists()
        rom_id = self._free_id(rom.id if is_named else slug(name))
        return replace(rom, manifest=rom.manifest.model_copy(update={"id": rom_id}))

    def _free_id(self, wished: str) -> str:
        catalog = self._library.catalog
        numbered = (f"{wished[:_NUMBERED]}-{number}" for number in count(2))
        return next(one for one in chain([wished], numbered) if one not in catalog.roms | catalog.quarantined)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False
