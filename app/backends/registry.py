"""Families by name. A family's module is imported when one of its ROMs is loaded, not before."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, cast

from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import EMBEDDER_FAMILY

if TYPE_CHECKING:
    from app.backends.base import Backend, LoadedModel, Upscaler

_FLOAT32_BYTES = 4
Loader = Callable[[Rom, LoadOptions, ComponentPool], "LoadedModel"]


def _stable_diffusion(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Backend:
    from app.backends.stable_diffusion import load_stable_diffusion

    return load_stable_diffusion(rom, options, pool)


def _stable_diffusion_xl(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Backend:
    from app.backends.stable_diffusion_xl import load_stable_diffusion_xl

    return load_stable_diffusion_xl(rom, options, pool)


def _upscaler(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Upscaler:
    from app.backends.upscaler import load_upscaler

    return load_upscaler(rom, options, pool)


def _clip(rom: Rom, options: LoadOptions, pool: ComponentPool) -> LoadedModel:
    from app.backends.clip import load_clip

    return load_clip(rom, options, pool)


def _fake(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Backend:
    from app.backends.fake import FakeBackend

    return FakeBackend()


FAMILIES: dict[str, Loader] = {
    "stable_diffusion": _stable_diffusion,
    "stable_diffusion_xl": _stable_diffusion_xl,
    "upscaler": _upscaler,
    "clip": _clip,
    "fake": _fake,
}


def prepare(families: Collection[str]) -> None:
    """Import what loading a ROM of these families takes, which is seconds, before anybody waits for it.

    What lives then, half a million objects of libraries, is no garbage later on: looking through them takes a third of
    a second, in which nothing else runs, every time that a ROM is unloaded.
    """
    for family in FAMILIES.keys() & set(families):
        import_module(f"app.backends.{family}")
    gc.collect()
    gc.freeze()


def load_backend(rom: Rom, options: LoadOptions, pool: ComponentPool | None = None) -> Backend:
    """Of a ROM that makes images. Raises ManifestError as `load_rom` does."""
    if not rom.makes_images:
        raise ManifestError(f"ROM {rom.id!r} makes no images: it is of family {rom.manifest.family}")
    return cast("Backend", load_rom(rom, options, pool))


def load_rom(rom: Rom, options: LoadOptions, pool: ComponentPool | None = None) -> LoadedModel:
    """A Backend, or of an upscaler an Upscaler. Raises ManifestError for an unknown family or files that do not load.

    ROMs that are loaded through one pool share what is equal in them; without one, a ROM is by itself.

    Loading has a thread of its own, which then ends: OpenMP keeps workers for every thread that has ever computed, and
    where they are more than the cores, all of them sleep while they wait. A step in another thread then takes twice as
    long.
    """
    if rom.manifest.family not in FAMILIES:
        raise ManifestError(f"family {rom.manifest.family!r} is not supported; supported: {', '.join(FAMILIES)}")
    with ThreadPoolExecutor(1, thread_name_prefix=f"load {rom.id}") as thread:
        return thread.submit(_load, rom, options, pool or ComponentPool()).result()


def foretell_parts(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Mapping[str, int]:
    """What `BackendInfo.parts` will be once the ROM is loaded through the pool, from its files' headers.

    Files are read only where a ROM that the pool was asked about before looks alike. Of files that are not here yet, or
    are to be converted first, the sizes are foretold, and not what they share.
    """
    if rom.manifest.family not in FAMILIES or rom.manifest.family == "fake":
        return {}
    if rom.manifest.family == EMBEDDER_FAMILY:  # on the CPU, in float32
        return {one.outline: one.num_parameters * _FLOAT32_BYTES for one in rom.components}
    from app.backends.loading import foretell

    if _is_single_file(rom):
        from app.backends.single_file import find_directories

        rom = find_directories(rom, options.cache_dir)
    return foretell(rom, options, pool.identities)


def _load(rom: Rom, options: LoadOptions, pool: ComponentPool) -> LoadedModel:
    if _is_single_file(rom):
        from app.backends.single_file import as_directories

        rom = as_directories(rom, options.cache_dir)
    return FAMILIES[rom.manifest.family](rom, options, pool)


def _is_single_file(rom: Rom) -> bool:
    return (rom.base or rom).checkpoint is not None
