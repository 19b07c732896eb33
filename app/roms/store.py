"""Where ROMs come from: a directory of ROMs, or one ROM by itself, on a local disk or in S3."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from app.errors import DiskUnavailable, ManifestError, SettingsError
from app.roms.archives import is_archive, stem_of, unpack
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME
from app.roms.single_file import SUFFIXES

if TYPE_CHECKING:
    from app.roms.s3 import S3Store

RomStore: TypeAlias = "FileStore | S3Store"


@dataclass
class FileStore:
    """ROMs on a local disk, read in place, and archives of them, unpacked once to `unpack_dir`.

    The directory may be read-only. Without an `unpack_dir` archives are broken. `broken` says by name, after
    `directories`, why what was meant as a ROM has no directory.
    """

    root: Path
    unpack_dir: Path | None = None
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return f"file://{self.root}"

    def directories(self) -> list[Path]:
        """That each hold one ROM, and files that may each be one."""
        self.broken = {}
        if _is_rom(self.root):
            return [self.root]
        paths = sorted(self.root.iterdir())
        found = [path for path in paths if _is_rom(path) or _may_be_rom(path)]
        for archive in filter(is_archive, paths):
            found += self._unpacked(archive)
        return found

    def _unpacked(self, archive: Path) -> list[Path]:
        try:
            if self.unpack_dir is None:
                raise ManifestError(f"{archive.name} is an archive, and there is no directory to unpack it to")
            directory = unpack(archive, self.unpack_dir)
            if _is_rom(directory):
                return [directory]
            if found := sorted(path for path in directory.iterdir() if path.is_dir() and _is_rom(path)):
                return found
            raise ManifestError(f"{archive.name} has neither {MANIFEST_NAME} nor {INDEX_NAME}")
        except (ManifestError, DiskUnavailable) as error:
            self.broken[stem_of(archive)] = error.message
            return []


def open_store(source: str, unpack_dir: Path | None = None) -> RomStore:
    """The store behind one address; one in S3 is not asked yet.

    Raises SettingsError when the address is malformed, or names a directory that is not there.
    """
    if source.startswith("s3://"):
        from app.roms.s3 import S3Store

        return S3Store.parse(source)
    root = Path(unquote(source.removeprefix("file://"))).expanduser()
    if not root.is_dir():
        raise SettingsError(f"{source} is not a directory")
    return FileStore(root.resolve(), unpack_dir)


def _is_rom(directory: Path) -> bool:
    return (directory / MANIFEST_NAME).exists() or (directory / INDEX_NAME).exists()


def _may_be_rom(path: Path) -> bool:
    """A model in a single file, before it is looked at."""
    return path.is_file() and path.suffix in SUFFIXES
