"""`POST /v1/route`: which ROM would answer a request, and why. Nothing is run."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from app.api.invocations import parse_body, read_body
from app.invoker.service import Service
from app.wire.routing import describe_explanation

router = APIRouter()


@router.post("/v1/route")
async def route(request: Request) -> dict[str, Any]:
    """The body is that of `/invocations`."""
    service: Service = request.app.state.service
    generation = parse_body(await read_body(request, service.options.max_request_bytes), request)
    request.state.request_id = generation.request_id
    return describe_explanation(await asyncio.to_thread(service.invoker.explain, generation))
