"""Prompt to ROM: a pure decision, explained."""

from __future__ import annotations

from collections.abc import Collection

from app.core import RouteDecision
from app.errors import InvalidRequest, NotReady
from app.roms.catalog import Catalog, Rom


def route(model: str, catalog: Catalog, resident: Collection[str], default_rom: str | None) -> RouteDecision:
    """The ROM that the caller names, or for `auto` the default one: the configured, a resident, or the first.

    Raises UnknownRom, RomUnavailable, InvalidRequest for a ROM that no request can be for, or NotReady when there is
    none that makes images.
    """
    if model != "auto":
        rom = _find(model, catalog)
        return RouteDecision(rom.id, {rom.id: 1.0}, "named by the request", rom.id in resident)
    roms = {rom.id: rom for rom in catalog if rom.makes_images}
    if not roms:
        broken = "; ".join(f"{rom_id}: {reason}" for rom_id, reason in catalog.quarantined.items())
        raise NotReady(f"no ROM can be served{f' ({broken})' if broken else ''}")
    if default_rom is not None:
        chosen, reason = _find(default_rom, catalog).id, "the configured default"
    elif len(roms) == 1:
        chosen, reason = next(iter(roms)), "the only ROM"
    else:
        chosen = next((rom_id for rom_id in roms if rom_id in resident), next(iter(roms)))
        reason = "the first ROM that is resident" if chosen in resident else "the first ROM of the catalog"
    scores = {rom.id: float(rom.id == chosen) for rom in roms.values()}
    return RouteDecision(chosen, scores, reason, chosen in resident)


def _find(rom_id: str, catalog: Catalog) -> Rom:
    rom = catalog.get(rom_id)
    if rom.is_instrument:
        raise InvalidRequest(f"ROM {rom_id!r} makes no images: it is of family {rom.manifest.family}", param="model")
    return rom
