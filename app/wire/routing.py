"""How a caller says which ROMs may answer, and how it is told why one does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.core import RouteDecision, RouteExplanation, RoutingMode, RoutingOptions

_DIGITS = 6
RomId = Annotated[str, Field(min_length=1)]


class Routing(BaseModel):
    """The field `routing`."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    mode: RoutingMode = "auto"
    candidates: list[RomId] | None = Field(default=None, min_length=1)
    temperature: float = Field(default=0.0, ge=0, le=100)

    def to_core(self) -> RoutingOptions:
        candidates = None if self.candidates is None else tuple(dict.fromkeys(self.candidates))
        return RoutingOptions(self.mode, candidates, self.temperature)


def describe_decision(decision: RouteDecision) -> dict[str, Any]:
    """`routing` of a response."""
    return {
        "chosen": decision.rom_id,
        "scores": _rounded(decision.scores),
        "reason": decision.reason,
        "resident": decision.resident,
    }


def describe_explanation(explanation: RouteExplanation) -> dict[str, Any]:
    """The response of `/v1/route`."""
    return {
        **describe_decision(explanation.decision),
        "without_cost": explanation.without_cost,
        "timeout_s": round(explanation.timeout_s, _DIGITS),
        "domains": _rounded(explanation.domains),
        "out_of_domain": explanation.out_of_domain,
        "sources": {name: _rounded(domains) for name, domains in explanation.sources.items()},
        "rules": list(explanation.rules),
        "roms": [_rounded(asdict(rom)) for rom in explanation.roms],
        "warnings": [asdict(notice) for notice in explanation.decision.notices],
    }


def _rounded(values: Any) -> dict[str, Any]:
    return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in values.items()}
