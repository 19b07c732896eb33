"""A finished answer, made by hand."""

from __future__ import annotations

from app.core import GeneratedImage, GenerationRequest, GenerationResult, RouteDecision, Timings
from tests.support.params import make_params


def make_result(request: GenerationRequest, data: bytes = b"\x89PNG") -> GenerationResult:
    return GenerationResult(
        request_id=request.request_id,
        created=1_700_000_000,
        images=(GeneratedImage(data, 7, 16, 16, "image/png"),),
        effective=make_params(),
        completed_steps=4,
        route=RouteDecision("shapes", {"shapes": 1.0}, "the only ROM", True),
        timings=Timings(),
        notices=(),
    )
