"""What several rooms of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.backends.base import Backend
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from tests.support.tiny_rom import TinyRom, build_tiny_rom


@pytest.fixture(scope="session")
def tiny_rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion ROM with AutoencoderKL. Read it, do not write to it."""
    return build_tiny_rom(tmp_path_factory.mktemp("roms") / "tiny")


@pytest.fixture(scope="session")
def tiny_autoencoder_rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with AutoencoderTiny."""
    directory = tmp_path_factory.mktemp("roms") / "tiny-autoencoder"
    return build_tiny_rom(directory, TinyRom(autoencoder="AutoencoderTiny"))


@pytest.fixture(scope="session")
def tiny_backend(tiny_rom: Path) -> Iterator[Backend]:
    """The tiny ROM, loaded."""
    backend = load_backend(read_rom(tiny_rom), "cpu", "float32")
    yield backend
    backend.unload()
