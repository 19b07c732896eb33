"""What the device takes for a step, an encoding and a decoding, learned online for each ROM and latent shape."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from app.backends.base import BackendInfo
from app.core import Decoder
from app.estimates import Estimate

_LANES_KEPT = 256
_WORTHWHILE = 1.05  # a larger batch must save this much time a row
_TRIALS = 3  # forwards of a size before it is judged
_KEPT_FOR_S = 300.0  # then a size is tried anew
_ENCODE_STEPS, _ENCODE_IMAGE_STEPS = 1.0, 3.0  # priors, in steps of one row
_DECODE_STEPS: dict[Decoder, float] = {"full": 3.0, "tiny": 0.3}  # likewise
_SPARE_MEMORY = 0.8  # share of the free memory that a batch may take


@dataclass
class _Size:
    """Forwards of one size."""

    time: Estimate
    trials: int = 0  # since it was last reconsidered
    measured_at: float = 0.0


class StepCost:
    """Time of one forward, over its rows."""

    def __init__(self, row_prior_s: float) -> None:
        self._row_prior_s = row_prior_s
        self._sizes: dict[int, _Size] = {}  # by rows; never changed but replaced, because other threads read it
        self.fastest_row_s = 0.0  # ever seen, but for the first forward; 0 before
        self.measured_at = -math.inf

    @property
    def is_measured(self) -> bool:
        return bool(self._sizes)

    def observe(self, rows: int, seconds: float, now: float) -> None:
        if self.is_measured:
            self.fastest_row_s = min(self.fastest_row_s or math.inf, seconds / rows)
        fresh = Estimate(seconds)
        size = self._sizes.get(rows) or _Size(fresh)
        if not size.trials and fresh.upper_s < size.time.upper_s:
            size.time = fresh
        size.time.observe(seconds)
        size.trials += 1
        self.measured_at = size.measured_at = now
        self._sizes = {**self._sizes, rows: size}

    def reconsider(self, now: float) -> None:
        """Try those sizes anew that were measured long ago: something else may have slowed them down then."""
        for size in self._sizes.values():
            if now - size.measured_at > _KEPT_FOR_S:
                size.trials = 0

    def upper_s(self, rows: int) -> float:
        """What a forward of `rows` seldom exceeds; where it was not measured, no less than its neighbours suggest."""
        uppers = {count: size.time.upper_s for count, size in self._sizes.items()}
        in_parts = [seconds * rows / count for count, seconds in uppers.items() if count <= rows]
        if larger := min((count for count in uppers if count > rows), default=0):
            smaller = max((count for count in uppers if count <= rows), default=larger)
            share = (rows - smaller) / (larger - smaller) if larger > smaller else 1.0
            in_parts.append(uppers[smaller] + (uppers[larger] - uppers[smaller]) * share)
        return min(in_parts, default=Estimate(self._row_prior_s).upper_s * rows)

    def row_s(self) -> float:
        """Time a row and step in the smallest batch seen, or the prior."""
        sizes = self._sizes
        return sizes[rows].time.mean_s / rows if (rows := min(sizes, default=0)) else self._row_prior_s

    def knee(self) -> int | None:
        """The batch size beyond which larger ones save no time a row; None until one twice as large was tried."""
        tried = {rows: size.time.mean_s / rows for rows, size in self._sizes.items() if size.trials >= _TRIALS}
        best = min(tried.values(), default=0.0) * _WORTHWHILE
        knee = min((rows for rows, row_s in tried.items() if row_s <= best), default=0)
        return knee if knee and max(tried) >= 2 * knee else None


@dataclass(frozen=True)
class Pace:
    """How fast a ROM has been here, in seconds a latent cell."""

    step_s: float  # of a forward, for each row
    decode_s: float  # of an image


class LaneCosts:
    """All that is known of one ROM at one latent shape."""

    def __init__(self, row_prior_s: float, max_rows: int) -> None:
        self.step = StepCost(row_prior_s)
        self.encode = Estimate(row_prior_s * _ENCODE_STEPS)
        self.encode_image = Estimate(row_prior_s * _ENCODE_IMAGE_STEPS)
        self.decode: dict[Decoder, Estimate] = {  # an image
            name: Estimate(row_prior_s * steps) for name, steps in _DECODE_STEPS.items()
        }
        self._row_prior_s = row_prior_s
        self._max_rows = max_rows

    def observe_step(self, rows: int, seconds: float, now: float) -> None:
        """Learn a forward. A prior that proves too long must not keep away for good those who would show it."""
        self.step.observe(rows, seconds, now)
        for name, steps in _DECODE_STEPS.items():
            self.decode[name].suppose(min(self._row_prior_s, self.step.upper_s(1)) * steps)

    @property
    def max_rows(self) -> int:
        """Rows that a forward may have: what memory allows, up to the knee."""
        return min(self._max_rows, self.step.knee() or self._max_rows)

    def shrink(self, rows: int) -> None:
        """Never again as many as `rows`: they did not fit in memory."""
        self._max_rows = max(1, min(self._max_rows, rows // 2))


class Costs:
    """The lanes' costs. A shape never seen starts from the ROM's other shapes, or from the backend's prior."""

    def __init__(self, max_batch_size: int, free_bytes: Callable[[torch.device], int]) -> None:
        self._max_batch_size = max_batch_size  # rows of a forward
        self._free_bytes = free_bytes
        self._lanes: OrderedDict[tuple[str, tuple[int, ...]], LaneCosts] = OrderedDict()

    def of(self, rom_id: str, info: BackendInfo, latent_shape: tuple[int, ...]) -> LaneCosts:
        key = (rom_id, latent_shape)
        if key not in self._lanes:
            self._lanes[key] = LaneCosts(
                self._row_prior_s(rom_id, info, latent_shape), self._max_rows(info, latent_shape)
            )
            if len(self._lanes) > _LANES_KEPT:
                self._lanes.popitem(last=False)
        self._lanes.move_to_end(key)
        return self._lanes[key]

    def paces(self) -> dict[str, Pace]:
        """Of each ROM that has run: as it was at the shape that ran last."""
        return {
            rom_id: Pace(lane.step.row_s() / math.prod(shape[1:]), lane.decode["full"].mean_s / math.prod(shape[1:]))
            for (rom_id, shape), lane in self._lanes.items()
            if lane.step.is_measured
        }

    def _row_prior_s(self, rom_id: str, info: BackendInfo, latent_shape: tuple[int, ...]) -> float:
        cells = math.prod(latent_shape[1:])
        known = [
            lane.step.row_s() / math.prod(shape[1:])
            for (rom, shape), lane in self._lanes.items()
            if rom == rom_id and lane.step.is_measured
        ]
        return max(known, default=info.cell_step_prior_s) * cells

    def _max_rows(self, info: BackendInfo, latent_shape: tuple[int, ...]) -> int:
        spare = int(self._free_bytes(info.device) * _SPARE_MEMORY) - info.memory.of_forward(0, 0)
        row_bytes = info.memory.row_cell_bytes * math.prod(latent_shape[1:])
        return max(1, min(self._max_batch_size, spare // max(1, row_bytes)))
