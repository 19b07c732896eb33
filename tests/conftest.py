"""What several rooms of tests share. Torch is imported where a test needs a model, not before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from app.backends.base import Backend
    from tests.support.tiny_roms import TinyRoms


@pytest.fixture(scope="session")
def tiny_roms(tmp_path_factory: pytest.TempPathFactory) -> TinyRoms:
    """Tiny ROMs by name. Read them, do not write to them."""
    from tests.support.tiny_roms import TinyRoms

    return TinyRoms(tmp_path_factory.mktemp("roms"))


@pytest.fixture(scope="session")
def tiny_rom(tiny_roms: TinyRoms) -> Path:
    """A tiny Stable Diffusion ROM."""
    return tiny_roms["sd"]


@pytest.fixture(scope="session")
def tiny_backend(tiny_rom: Path) -> Iterator[Backend]:
    """The tiny ROM, loaded."""
    from app.backends.options import LoadOptions
    from app.backends.registry import load_backend
    from app.roms.catalog import read_rom

    backend = load_backend(read_rom(tiny_rom), LoadOptions("cpu", "float32"))
    yield backend
    backend.unload()
