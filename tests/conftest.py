"""What several rooms of tests share. Torch is imported where a test needs a model, not before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from app.backends.base import Backend
    from tests.support.tiny_roms import TinyRoms

pytest_plugins = ["tests.support.s3_server"]


@pytest.fixture(scope="session")
def tiny_roms(tmp_path_factory: pytest.TempPathFactory) -> TinyRoms:
    """Tiny ROMs by name. Read them, do not write to them."""
    from tests.support.tiny_roms import TinyRoms

    return TinyRoms(tmp_path_factory.mktemp("roms"))


@pytest.fixture(scope="session")
def tiny_rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion ROM of the id `tiny`. Read it, do not write to it."""
    from tests.support.tiny_rom import build_tiny_rom

    return build_tiny_rom(tmp_path_factory.mktemp("rom") / "tiny")


@pytest.fixture(scope="session")
def openvino_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where U-Nets are kept that were converted for OpenVINO, which takes seconds each."""
    return tmp_path_factory.mktemp("cache") / "openvino"


@pytest.fixture(scope="session")
def tiny_backend(tiny_rom: Path) -> Iterator[Backend]:
    """The tiny ROM, loaded."""
    from app.backends.options import LoadOptions
    from app.backends.registry import load_backend
    from app.roms.catalog import read_rom

    backend = load_backend(read_rom(tiny_rom), LoadOptions("cpu", "float32"))
    yield backend
    backend.unload()
