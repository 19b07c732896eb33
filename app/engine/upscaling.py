"""Enlarging in the engine: what is enlarged by which model, what it takes, and a request that asks for nothing else."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.backends.base import Guide, Upscaler
from app.core import Budget
from app.engine.costs import LaneCosts
from app.engine.forecast import Demand
from app.engine.planner import Plan
from app.imaging import Pixels

if TYPE_CHECKING:
    from app.engine.state import EngineResult

_COSTS_KEPT = 256


@dataclass(frozen=True, eq=False)
class Upscaling:
    """What a request's images are enlarged by."""

    rom_id: str
    upscaler: Upscaler
    factor: int
    max_pixels: int  # of an enlarged image


@dataclass(eq=False)
class UpscaleState:
    """A request to enlarge an image that came with it. It takes no steps: for the planner it is all decoding."""

    request_id: str
    upscaling: Upscaling
    image: Pixels
    guide: Guide
    budget: Budget
    costs: LaneCosts  # a step of one row is an image enlarged
    submitted_at: float  # on the engine's clock, seconds
    plan: Plan = field(default=Plan(0, 0.0, 0))
    is_cancelled: bool = False
    future: Future[EngineResult] = field(default_factory=Future)

    owed_steps = 0

    @property
    def rom_id(self) -> str:
        return self.upscaling.rom_id

    @property
    def deadline(self) -> float:
        return self.submitted_at + self.budget.timeout_s

    def demand(self) -> Demand:
        """What is left to do."""
        upscale_s = self.costs.step.upper_s(1)
        return Demand(lane=self.costs, rows=1, images=1, steps=0, deadline=self.deadline, decode_s=upscale_s)


class UpscalingCosts:
    """What enlarging one image takes, learned for each ROM, factor and size; others of the ROM tell of a new size."""

    def __init__(self) -> None:
        self._costs: OrderedDict[tuple[str, int, int], LaneCosts] = OrderedDict()

    def of(self, upscaling: Upscaling, height: int, width: int) -> LaneCosts:
        """Of a small image of so many pixels a side."""
        key = (upscaling.rom_id, upscaling.factor, height * width)
        if key not in self._costs:
            pixels = height * width * upscaling.factor**2
            self._costs[key] = LaneCosts(self._pixel_s(upscaling) * pixels, max_rows=1)
            if len(self._costs) > _COSTS_KEPT:
                self._costs.popitem(last=False)
        self._costs.move_to_end(key)
        return self._costs[key]

    def _pixel_s(self, upscaling: Upscaling) -> float:
        """Seconds for each pixel of the enlarged image."""
        known = [
            costs.step.row_s() / (pixels * factor**2)
            for (rom_id, factor, pixels), costs in self._costs.items()
            if (rom_id, factor) == (upscaling.rom_id, upscaling.factor) and costs.step.is_measured
        ]
        return max(known, default=upscaling.upscaler.info.pixel_prior_s)
