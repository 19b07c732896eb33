"""The same request at smaller sizes, for a refusal to name what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from app.engine.costs import Costs
from app.engine.planner import Smaller
from app.engine.state import RequestState, latent_shape


def smaller_versions(state: RequestState, costs: Costs) -> Iterator[Smaller]:
    """At half the width and height, and at a quarter."""
    params, backend = state.params, state.backend
    for divisor in (2, 4):
        width, height = params.width // divisor, params.height // divisor
        if width % backend.info.vae_scale_factor or height % backend.info.vae_scale_factor:
            return
        lane = costs.of(state.rom_id, backend.info, latent_shape(replace(params, width=width, height=height), backend))
        yield Smaller(replace(state.demand(), lane=lane, decode_s=state.decode_on(lane)), width, height)
