"""Families by name. A family's module is imported when one of its ROMs is loaded, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.backends.options import LoadOptions
from app.errors import ManifestError
from app.roms.catalog import Rom

if TYPE_CHECKING:
    from app.backends.base import Backend

Loader = Callable[[Rom, LoadOptions], "Backend"]


def _stable_diffusion(rom: Rom, options: LoadOptions) -> Backend:
    from app.backends.stable_diffusion import load_stable_diffusion

    return load_stable_diffusion(rom, options)


def _stable_diffusion_xl(rom: Rom, options: LoadOptions) -> Backend:
    from app.backends.stable_diffusion_xl import load_stable_diffusion_xl

    return load_stable_diffusion_xl(rom, options)


def _fake(rom: Rom, options: LoadOptions) -> Backend:
    from app.backends.fake import FakeBackend

    return FakeBackend()


FAMILIES: dict[str, Loader] = {
    "stable_diffusion": _stable_diffusion,
    "stable_diffusion_xl": _stable_diffusion_xl,
    "fake": _fake,
}


def load_backend(rom: Rom, options: LoadOptions) -> Backend:
    """Raises ManifestError for an unknown family or files that cannot be loaded."""
    if rom.manifest.family not in FAMILIES:
        raise ManifestError(f"family {rom.manifest.family!r} is not supported; supported: {', '.join(FAMILIES)}")
    return FAMILIES[rom.manifest.family](rom, options)
