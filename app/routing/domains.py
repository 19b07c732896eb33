"""The domains of a catalog: what the ROMs of one domain's name say of it together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.roms.manifest import RomManifest

GENERAL = "general"  # the domain that takes pictures of any kind, where a catalog has one


@dataclass(frozen=True)
class DomainTexts:
    """One domain. ROMs of it are twins: their texts are one, each text once."""

    name: str
    rom_ids: tuple[str, ...]
    titles: tuple[str, ...]
    descriptions: tuple[str, ...]
    keywords: tuple[str, ...]
    styles: tuple[str, ...]
    examples: tuple[str, ...]
    avoid: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """What tells the domain besides examples; its ROMs' titles where there is nothing else."""
        told = (*self.descriptions, *self.keywords, *self.styles)
        return told if told or self.examples else self.titles


def domains_of(manifests: Mapping[str, RomManifest]) -> tuple[DomainTexts, ...]:
    """In the order of their first ROMs."""
    members: dict[str, list[tuple[str, RomManifest]]] = {}
    for rom_id, manifest in manifests.items():
        members.setdefault(manifest.domain_name, []).append((rom_id, manifest))
    return tuple(_together(name, roms) for name, roms in members.items())


def _together(name: str, roms: list[tuple[str, RomManifest]]) -> DomainTexts:
    domains = [manifest.domain for _, manifest in roms]
    return DomainTexts(
        name=name,
        rom_ids=tuple(rom_id for rom_id, _ in roms),
        titles=_distinct(manifest.title or rom_id.replace("-", " ") for rom_id, manifest in roms),
        descriptions=_distinct(domain.description for domain in domains if domain.description),
        keywords=_distinct(word for domain in domains for word in domain.keywords),
        styles=_distinct(word for domain in domains for word in domain.styles),
        examples=_distinct(text for domain in domains for text in domain.examples),
        avoid=_distinct(word for domain in domains for word in domain.avoid),
    )


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
