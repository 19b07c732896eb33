"""Where ROMs come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import SettingsError
from app.roms.store import FileStore, open_store
from tests.support.roms import write_diffusers_directory, write_manifest


def names(root: Path) -> list[str]:
    return [directory.name for directory in directories(f"file://{root}")]


def directories(source: str) -> list[Path]:
    store = open_store(source)
    assert isinstance(store, FileStore)
    return store.directories()


def test_directory_of_roms_gives_each_of_them_in_order(tmp_path: Path) -> None:
    write_manifest(tmp_path / "b")
    write_diffusers_directory(tmp_path / "a")
    (tmp_path / "no-rom").mkdir()
    (tmp_path / "notes.txt").touch()
    assert names(tmp_path) == ["a", "b"]


def test_rom_by_itself_is_a_store_of_one(tmp_path: Path) -> None:
    assert names(write_diffusers_directory(tmp_path / "only")) == ["only"]


def test_empty_directory_is_an_empty_store(tmp_path: Path) -> None:
    assert names(tmp_path) == []


def test_address_may_be_quoted_as_addresses_are(tmp_path: Path) -> None:
    write_manifest(tmp_path / "my roms" / "shapes")
    (directory,) = directories(f"file://{tmp_path}/my%20roms")
    assert directory == tmp_path / "my roms" / "shapes"


@pytest.mark.parametrize("name", ["absent", "file.txt"])
def test_source_that_is_no_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(SettingsError, match=f"{name} is not a directory"):
        open_store(f"file://{tmp_path}/{name}")
