"""Demands on lanes whose costs are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from app.engine.costs import LaneCosts
from app.engine.forecast import Demand
from app.estimates import Estimate

_UPPER = 1.5  # of an estimate over its mean, when all it has is a prior or one observation


def make_lane(forward_s: Mapping[int, float], *, max_rows: int = 8, decode_s: float = 0.0) -> LaneCosts:
    """A lane whose forwards of so many rows, and decodings, are expected to take so long at most."""
    lane = LaneCosts(1.0, max_rows)
    for rows, seconds in forward_s.items():
        lane.step.observe(rows, seconds / _UPPER, 0.0)
    lane.decode["full"] = Estimate(decode_s / _UPPER)
    return lane


def make_demand(lane: LaneCosts, steps: int, **changes: Any) -> Demand:
    """One image without guidance that is encoded and has all the time there is."""
    defaults: dict[str, Any] = {"rows": 1, "images": 1, "deadline": math.inf}
    wanted = defaults | changes
    return Demand(lane=lane, steps=steps, decode_s=lane.decode["full"].upper_s * wanted["images"], **wanted)
