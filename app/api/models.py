"""Which models there are: `GET /v1/models`, and SageMaker's multi-model contract, where that is switched on."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.invocations import answer, read_body
from app.api.problems import NotFound
from app.invoker.hosted import HostedModel, HostedModels
from app.invoker.service import Service
from app.wire.hosted import parse_load

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The ROMs, in the shape of OpenAI's API."""
    service: Service = request.app.state.service
    resident = service.invoker.cache.resident()
    models = [
        {"id": rom.id, "object": "model", "created": 0, "owned_by": "cartridge", "resident": rom.id in resident}
        for rom in service.invoker.catalog
        if not rom.is_instrument
    ]
    return {"object": "list", "data": models}


@router.post("/models")
async def load(request: Request) -> dict[str, str]:
    """Load a model that the platform has unpacked; 409 where it is loaded already, 507 where there is no room."""
    hosted = _hosted(request)
    service: Service = request.app.state.service
    name, url = parse_load(await read_body(request, service.options.max_request_bytes))
    return _describe(await asyncio.to_thread(hosted.load, name, url))


@router.get("/models")
async def list_loaded(request: Request, next_page_token: str | None = None) -> dict[str, Any]:
    models, token = _hosted(request).page(next_page_token)
    return {"models": [_describe(model) for model in models]} | ({"nextPageToken": token} if token else {})


@router.get("/models/{model_name:path}")
async def describe(model_name: str, request: Request) -> dict[str, str]:
    return _describe(_hosted(request).get(model_name))


@router.delete("/models/{model_name:path}")
async def unload(model_name: str, request: Request) -> dict[str, str]:
    """Its memory is back when this is answered."""
    return _describe(await asyncio.to_thread(_hosted(request).unload, model_name))


@router.post("/models/{model_name:path}/invoke")
async def invoke(model_name: str, request: Request) -> Response:
    """As `/invocations`, on this model."""
    return await answer(request, _hosted(request).get(model_name))


def _describe(model: HostedModel) -> dict[str, str]:
    return {"modelName": model.name, "modelUrl": model.url}


def _hosted(request: Request) -> HostedModels:
    service: Service = request.app.state.service
    if service.hosted is None:
        raise NotFound(f"{request.method} {request.url.path}: Not Found; SAGEMAKER_MULTI_MODEL switches it on")
    return service.hosted
