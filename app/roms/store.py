"""Where ROMs come from. `file://` is a directory of ROMs, or one ROM by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from app.errors import SettingsError
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME
from app.roms.single_file import SUFFIXES


class RomStore(Protocol):
    def directories(self) -> list[Path]:
        """Local directories that each hold one ROM, and files that may each be one."""


@dataclass(frozen=True)
class FileStore:
    """ROMs on a local disk, read in place. The directory may be read-only."""

    root: Path

    def directories(self) -> list[Path]:
        if _is_rom(self.root):
            return [self.root]
        return sorted(path for path in self.root.iterdir() if _is_rom(path) or _may_be_rom(path))


def open_store(source: str) -> RomStore:
    """The store behind one address. Raises SettingsError when there is nothing there."""
    root = Path(unquote(source.removeprefix("file://"))).expanduser()
    if not root.is_dir():
        raise SettingsError(f"CARTRIDGE_ROM_SOURCES: {source} is not a directory")
    return FileStore(root.resolve())


def _is_rom(directory: Path) -> bool:
    return (directory / MANIFEST_NAME).exists() or (directory / INDEX_NAME).exists()


def _may_be_rom(path: Path) -> bool:
    """A model in a single file, before it is looked at."""
    return path.is_file() and path.suffix in SUFFIXES
