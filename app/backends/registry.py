"""Families by name. A family's module is imported when one of its ROMs is loaded, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.errors import ManifestError
from app.roms.catalog import Rom

if TYPE_CHECKING:
    from app.backends.base import Backend

Loader = Callable[[Rom, str, str], "Backend"]


def _stable_diffusion(rom: Rom, device: str, dtype: str) -> Backend:
    from app.backends.stable_diffusion import load_stable_diffusion

    return load_stable_diffusion(rom, device, dtype)


def _fake(rom: Rom, device: str, dtype: str) -> Backend:
    from app.backends.fake import FakeBackend

    return FakeBackend()


FAMILIES: dict[str, Loader] = {"stable_diffusion": _stable_diffusion, "fake": _fake}


def load_backend(rom: Rom, device: str, dtype: str) -> Backend:
    """Raises ManifestError for an unknown family or files that cannot be loaded."""
    if rom.manifest.family not in FAMILIES:
        raise ManifestError(f"family {rom.manifest.family!r} is not supported; supported: {', '.join(FAMILIES)}")
    return FAMILIES[rom.manifest.family](rom, device, dtype)
