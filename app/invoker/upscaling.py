"""Which ROM enlarges a request's images, and what it is held to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from app.core import GenerationParams, Notice, ResolvedParams
from app.errors import InvalidRequest, OutOfRomMemory, RomUnavailable, UnknownRom
from app.imaging import Source
from app.invoker.jobs import Job
from app.invoker.resolve import seeds_of
from app.invoker.supply import Supply
from app.roms.catalog import Catalog, Rom

if TYPE_CHECKING:
    from app.backends.base import Upscaler
    from app.engine.upscaling import Upscaling

_DEFAULTS = {field.name: field.default for field in fields(GenerationParams)} | {"prompt": ""}
_READ = {"prompt", "image", "seed", "seeds", "upscale", "upscaler"}  # that count where the model is an upscaler


def find_upscaler(params: GenerationParams, catalog: Catalog, resident: Collection[str]) -> Rom | None:
    """The ROM that is named, or of those that have the factor a resident one, or the first; None where none is needed.

    Raises InvalidRequest, UnknownRom or RomUnavailable, naming the field.
    """
    if params.upscale is None:
        return None
    upscalers = [rom for rom in catalog if rom.is_upscaler]
    if params.upscaler is not None:
        upscalers = [_named(params.upscaler, catalog)]
    if not upscalers:
        raise InvalidRequest("there is no ROM that enlarges images", param="upscale")
    able = [rom for rom in upscalers if params.upscale in rom.factors]
    if not able:
        offered = ", ".join(f"{rom.id!r} does {_listed(rom)}" for rom in upscalers)
        raise InvalidRequest(f"{params.upscale} times is not offered; {offered}", param="upscale")
    return next((rom for rom in able if rom.id in resident), able[0])


@contextmanager
def leased(upscaler: Rom | None, beside: Rom, job: Job, supply: Supply, deadline: float) -> Iterator[Upscaling | None]:
    """Hold the upscaler for a request to `beside`; leased first, so that whoever holds a larger ROM waits for none.

    Raises OutOfRomMemory where the two never fit in memory together, and what `Supply.lease_upscaler` raises.
    """
    if upscaler is None:
        yield None
        return
    _check_room(upscaler, beside, supply)
    with supply.lease_upscaler(upscaler, job, deadline) as model:
        yield upscaling_by(upscaler, model, job.request.params.upscale)


def upscaling_by(rom: Rom, model: Upscaler, factor: int | None) -> Upscaling:
    """By its largest factor, where none is asked for."""
    from app.engine.upscaling import Upscaling

    return Upscaling(rom.id, model, factor or max(rom.factors), rom.manifest.limits.max_pixels)


def check_alone(params: GenerationParams, rom: Rom, source: Source | None) -> int | None:
    """The factor that is asked of an upscaler that is the model. Raises InvalidRequest naming the field."""
    if source is None:
        raise InvalidRequest(f"ROM {rom.id!r} enlarges images, and needs one", param="image")
    if params.upscaler not in (None, rom.id):
        raise InvalidRequest(f"is {params.upscaler!r}, and the model is the upscaler {rom.id!r}", param="upscaler")
    if params.upscale is not None and params.upscale not in rom.factors:
        reason = f"{params.upscale} times is not offered; {rom.id!r} does {_listed(rom)}"
        raise InvalidRequest(reason, param="upscale")
    return params.upscale


def check_size(upscaling: Upscaling, width: int, height: int) -> None:
    """Raises InvalidRequest for an image, in pixels, that would be larger than the upscaler's ROM allows."""
    factor, allowed = upscaling.factor, upscaling.max_pixels
    if width * height * factor**2 > allowed:
        size = f"{width}x{height} enlarged to {width * factor}x{height * factor}"
        reason = f"{size} is above the {allowed} pixels that ROM {upscaling.rom_id!r} allows"
        raise InvalidRequest(reason, param="upscale")


def resolve_upscaling(
    params: GenerationParams, rom: Rom, upscaling: Upscaling, width: int, height: int
) -> tuple[ResolvedParams, list[Notice]]:
    """What will be done with an image of so many pixels that came along, and what of the request does not count."""
    check_size(upscaling, width, height)
    for name, count in (("prompt", len(params.prompts)), ("seeds", len(params.seeds or (0,)))):
        if count > 1:
            raise InvalidRequest(f"one image is enlarged, and {count} are given", param=name)
    info = upscaling.upscaler.info
    read = _READ if info.num_inference_steps else _READ - {"prompt", "seed", "seeds"}
    ignored = [name for name, default in _DEFAULTS.items() if name not in read and getattr(params, name) != default]
    does = f"ROM {rom.id!r} enlarges the image, and does nothing else"
    seeds = seeds_of(replace(params, num_images_per_prompt=1), rom.manifest)
    resolved = ResolvedParams(
        prompt=params.prompts[0],
        negative_prompt=None,
        num_inference_steps=info.num_inference_steps,
        guidance_scale=info.guidance_scale,
        scheduler="",
        seeds=seeds[:1],
        width=width,
        height=height,
        preset="default",
        task="upscaling",
        upscale=upscaling.factor,
        upscaler=rom.id,
    )
    return resolved, [Notice("ignored", name, does) for name in ignored]


def _named(rom_id: str, catalog: Catalog) -> Rom:
    try:
        rom = catalog.get(rom_id)
    except (UnknownRom, RomUnavailable) as error:
        raise type(error)(error.message, param="upscaler") from error
    if not rom.is_upscaler:
        raise InvalidRequest(f"ROM {rom_id!r} makes images, and does not enlarge them", param="upscaler")
    return rom


def _listed(rom: Rom) -> str:
    return " and ".join(map(str, rom.factors))


def _check_room(upscaler: Rom, beside: Rom, supply: Supply) -> None:
    one, other = (supply.cache.footprint_of(rom) for rom in (upscaler, beside))
    needed = sum({**one.parts, **other.parts}.values()) + max(one.reserve_bytes, other.reserve_bytes)
    if needed > supply.cache.capacity_bytes:
        reason = f"ROMs {upscaler.id!r} and {beside.id!r} need {needed} bytes together, the budget is"
        raise OutOfRomMemory(f"{reason} {supply.cache.capacity_bytes}", param="upscale")
