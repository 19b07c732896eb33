"""Which ROMs are in memory, what they take of it together, and who would have to go for another."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.backends.base import LoadedModel


@dataclass(frozen=True)
class Footprint:
    """What a ROM takes of the device's memory."""

    parts: Mapping[str, int]  # bytes of its weights, by a key that equal parts of other ROMs have too
    reserve_bytes: int = 0  # what one image takes besides; of all ROMs the largest is kept free

    @property
    def nbytes(self) -> int:
        return sum(self.parts.values()) + self.reserve_bytes

    def __str__(self) -> str:
        reserve = f" and {self.reserve_bytes} for an image" if self.reserve_bytes else ""
        return f"{sum(self.parts.values())} bytes{reserve}"


@dataclass(eq=False)
class Resident:
    """A ROM in memory, or on its way there: its room is taken from the moment that its loading starts."""

    footprint: Footprint
    backend: LoadedModel | None = None  # None while it is loaded for the first time
    is_ready: bool = False
    is_parked: bool = False  # its weights wait in the host's memory
    is_pinned: bool = False  # stays until it is told to go
    is_leaving: bool = False  # goes when the last lease has ended, and is not leased again
    leases: int = 0
    idle_since: float = 0.0
    error: BaseException | None = None  # why it did not load

    @property
    def is_idle(self) -> bool:
        return (self.is_ready or self.is_parked) and not self.leases

    @property
    def may_go(self) -> bool:
        return self.is_idle and not self.is_pinned


class Line:
    """Those who wait for room."""

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_s = max_wait_s
        self._since: list[float] = []  # the longest first

    def __len__(self) -> int:
        return len(self._since)

    def join(self) -> float:
        """The place in it."""
        self._since.append(time.monotonic())
        return self._since[-1]

    def leave(self, place: float) -> None:
        self._since.remove(place)

    def has_someone_due(self) -> bool:
        """Whether somebody has waited as long as anyone should."""
        return bool(self._since) and time.monotonic() - self._since[0] >= self._max_wait_s


@dataclass
class Residency:
    """Residents by ROM id, the least recently used first."""

    residents: OrderedDict[str, Resident] = field(default_factory=OrderedDict)

    def __iter__(self) -> Iterator[tuple[str, Resident]]:
        """Those whose weights are on the device, or on their way there."""
        return ((rom_id, one) for rom_id, one in list(self.residents.items()) if not one.is_parked)

    def weights_bytes(self) -> int:
        return sum(_union(one.footprint for _, one in self).values())

    def nbytes(self) -> int:
        """Weights, each once however many share them, and the largest reserve."""
        return bytes_of([one.footprint for _, one in self])

    def missing_bytes(self, footprint: Footprint, besides: str = "") -> int:
        """Of its weights, what no resident has but the one that is named."""
        there = _union(one.footprint for rom_id, one in self if rom_id != besides)
        return sum(nbytes for key, nbytes in footprint.parts.items() if key not in there)

    def shared_bytes(self, rom_id: str) -> int:
        """Of a resident's weights, what others have too; 0 for what is not there."""
        if rom_id not in self.residents:
            return 0
        footprint = self.residents[rom_id].footprint
        return sum(footprint.parts.values()) - self.missing_bytes(footprint, besides=rom_id)

    def victims(self, footprint: Footprint, capacity_bytes: int) -> list[str] | None:
        """Who has to go for it, the least recently used first and no more than it takes; None where that is no use."""
        staying = {rom_id: one.footprint for rom_id, one in self}
        gone: list[str] = []
        for rom_id, one in self:
            if bytes_of([*staying.values(), footprint]) <= capacity_bytes:
                break
            if one.may_go:
                gone.append(rom_id)
                del staying[rom_id]
        if bytes_of([*staying.values(), footprint]) > capacity_bytes:
            return None
        for rom_id in reversed(gone):  # what it shares with those who stay brought nothing
            kept = self.residents[rom_id].footprint
            if bytes_of([*staying.values(), footprint, kept]) <= capacity_bytes:
                staying[rom_id] = kept
        return [rom_id for rom_id in gone if rom_id not in staying]

    def dropped_for(self, rom_id: str, host_bytes: int) -> list[str] | None:
        """Which parked ROMs have to go, the longest there first, for this one to be parked; None where it cannot be."""
        parked = [name for name, one in self.residents.items() if one.is_parked]
        dropped: list[str] = []
        while True:
            hosted = (self.residents[name].footprint for name in (*parked, rom_id))
            if sum(_union(hosted).values()) <= host_bytes:
                return dropped
            if not parked:
                return None
            dropped.append(parked.pop(0))


def bytes_of(footprints: list[Footprint]) -> int:
    return sum(_union(footprints).values()) + max((one.reserve_bytes for one in footprints), default=0)


def _union(footprints: Iterable[Footprint]) -> dict[str, int]:
    return {key: nbytes for one in footprints for key, nbytes in one.parts.items()}
