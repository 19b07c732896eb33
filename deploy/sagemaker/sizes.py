"""How large ROMs are, on the disk and in memory, from their manifests and the headers of their weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from app.errors import CartridgeError, ManifestError
from app.roms.catalog import Catalog, Rom, lay_over_bases, read_rom
from app.roms.disk import RomDisk
from app.roms.manifest import slug
from app.roms.memory import predict_need
from app.roms.s3 import S3Store
from app.roms.store import FileStore, open_store
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.parts import Roms


@dataclass(frozen=True)
class RomSize:
    """One ROM; memory in half precision."""

    id: str
    disk_bytes: int
    weights_bytes: int
    image_bytes: int  # beside the weights, of the largest image that its limits allow

    @property
    def memory_bytes(self) -> int:
        return self.weights_bytes + self.image_bytes


@dataclass(frozen=True)
class RomSet:
    """What a source has."""

    sizes: dict[str, RomSize]
    broken: dict[str, str] = field(default_factory=dict)  # id -> why

    @property
    def disk_bytes(self) -> int:
        return sum(size.disk_bytes for size in self.sizes.values())

    def preloaded(self, roms: Roms) -> list[RomSize]:
        """Those that are loaded at the start; ids that are not there are left out."""
        if roms.preload == "all":
            return list(self.sizes.values())
        names = () if roms.preload == "none" else roms.preload
        return [size for rom_id, size in self.sizes.items() if rom_id in {*names, *roms.pin}]


def read_source(source: str, region: str | None = None) -> RomSet:
    """A directory, or s3://bucket/prefix/, of which only small files and headers are read. Raises DeployError."""
    try:
        store = S3Store.parse(f"{source}?region={region}") if source.startswith("s3://") else open_store(source)
        return _of_directory(store) if isinstance(store, FileStore) else _of_bucket(store)
    except CartridgeError as error:
        raise DeployError(error.message) from error


def _of_bucket(store: S3Store) -> RomSet:
    remotes = store.list_roms()
    with tempfile.TemporaryDirectory(prefix="cartridge-sizes-") as directory:
        disk = RomDisk(Path(directory))
        try:
            return _judge([(remote.name, remote.bytes, partial(disk.survey, remote)) for remote in remotes])
        finally:
            disk.close()


def _of_directory(store: FileStore) -> RomSet:
    paths = store.directories()
    found = _judge([(path.name, _bytes_below(path), partial(read_rom, path)) for path in paths])
    return RomSet(found.sizes, {**store.broken, **found.broken})


def _judge(readings: Sequence[tuple[str, int, Callable[[], Rom]]]) -> RomSet:
    catalog = Catalog()
    nbytes: dict[str, int] = {}
    for name, disk_bytes, read in readings:
        try:
            rom = read()
        except ManifestError as error:
            catalog.quarantine(slug(name), error.message)
        else:
            catalog.release(rom)
            nbytes[rom.id] = disk_bytes
    lay_over_bases(catalog)
    sizes: dict[str, RomSize] = {}
    for rom in catalog:
        try:
            sizes[rom.id] = _size(rom, nbytes[rom.id])
        except ManifestError as error:  # a config that does not say how wide its model is
            catalog.quarantine(rom.id, error.message)
    return RomSet(sizes, catalog.quarantined)


def _size(rom: Rom, disk_bytes: int, itemsize: int = 2) -> RomSize:
    need = predict_need(rom, itemsize)
    if need is None:
        return RomSize(rom.id, disk_bytes, rom.num_parameters * itemsize, 0)
    return RomSize(rom.id, disk_bytes, need.weights_bytes, need.largest_image_bytes)


def _bytes_below(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )
