"""What there is to choose from on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

AUTO = "auto"
NOT_ENLARGED = "none"
_EVERY_ROM_HAS = ("default", "none")


@dataclass(frozen=True)
class Offer:
    """What `/info` says that the service has."""

    roms: Mapping[str, str]  # id -> title, of those that make images
    presets: Mapping[str, tuple[str, ...]]  # by ROM
    factors: tuple[int, ...] = ()  # by which images can be enlarged

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        makers = [rom for rom in info["roms"] if rom["makes_images"]]
        factors = {factor for rom in info["roms"] for factor in rom["upscale_factors"]}
        return cls(
            roms={rom["id"]: rom["title"] or rom["id"] for rom in makers},
            presets={rom["id"]: tuple(rom["presets"]) for rom in makers},
            factors=tuple(sorted(factors)),
        )

    @classmethod
    def unknown(cls) -> Self:
        """Where the service has not answered yet."""
        return cls({}, {})

    def models(self) -> list[tuple[str, str]]:
        """Labels and values."""
        named = [(rom_id if title == rom_id else f"{rom_id} - {title}", rom_id) for rom_id, title in self.roms.items()]
        return [(AUTO, AUTO), *named]

    def presets_of(self, model: str | None) -> list[str]:
        """With `auto` those of all ROMs: what a ROM has not keeps it from being chosen."""
        asked = self.presets.values() if model in (None, AUTO) else [self.presets.get(str(model), ())]
        return list(dict.fromkeys([*_EVERY_ROM_HAS, *(name for names in asked for name in names)]))

    def enlargements(self) -> list[str]:
        return [NOT_ENLARGED, *(str(factor) for factor in self.factors)]
