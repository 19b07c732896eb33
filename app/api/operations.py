"""Routes for those who run the service: `/ping`, `/metrics`, `/info`, `/drain`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app import __version__
from app.api.problems import NotFound
from app.backends.schedulers import adapted_class
from app.core import Health
from app.invoker.resolve import offered_schedulers
from app.invoker.service import Service
from app.roms.catalog import Rom
from app.roms.manifest import NO_PRESET
from app.wire.native import InvocationRequest

router = APIRouter()


@router.get("/ping")
@router.post("/ping", include_in_schema=False)
async def ping(request: Request) -> JSONResponse:
    """200 when requests can be served; 503 with the reason until then. Reads one value, whatever the load."""
    health, reason = _service(request).health.read()
    status = 200 if health is Health.READY else 503
    return JSONResponse({"status": health.value, "reason": reason}, status)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    service = _service(request)
    service.metrics.resident_bytes.set(service.invoker.cache.resident_bytes())
    service.metrics.waiting_for_room.set(service.invoker.cache.waiting_for_room())
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/info")
async def info(request: Request) -> dict[str, Any]:
    """Version, limits, and every ROM with its presets and the schema of what it accepts."""
    service = _service(request)
    limits = service.invoker.limits
    health, reason = service.health.read()
    return {
        "version": __version__,
        "status": health.value,
        "reason": reason,
        "limits": {
            "max_request_bytes": service.options.max_request_bytes,
            "max_response_image_bytes": limits.max_image_bytes,
            "max_queue_size": limits.max_queue_size,
            "request_timeout_s": limits.request_timeout_s,
        },
        "roms": [_describe(rom, service) for rom in service.invoker.catalog],
        "quarantined": dict(service.invoker.catalog.quarantined),
        "unreadable_sources": service.invoker.supply.library.troubles(),
    }


@router.post("/drain", include_in_schema=False)
async def drain(request: Request) -> JSONResponse:
    """Refuse new requests and return when the accepted ones are answered. For `serve`, over the unix socket only."""
    if request.client is not None and request.client.host:
        raise NotFound("POST /drain: Not Found")
    service = _service(request)
    drained = await asyncio.to_thread(service.invoker.drain, service.options.drain_timeout_s)
    return JSONResponse({"drained": drained})


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _describe(rom: Rom, service: Service) -> dict[str, Any]:
    manifest, supply, memory = rom.manifest, service.invoker.supply, service.memory_of(rom)
    state = supply.state_of(rom)
    return {
        "id": manifest.id,
        "revision": manifest.revision,
        "title": manifest.title,
        "family": manifest.family,
        "license": manifest.license,
        "domain": manifest.domain.model_dump(),
        "resident": state == "resident",
        "state": state,
        "missing_bytes": supply.library.missing_bytes(rom),
        "parameters": rom.num_parameters,
        "makes_images": rom.makes_images,
        "upscale_factors": list(rom.factors),
        "memory": asdict(memory) if memory else None,
        "shared_bytes": supply.cache.shared_bytes(rom.id),
        "presets": {name: preset.model_dump() for name, preset in manifest.presets.items()},
        "limits": manifest.limits.model_dump(),
        "accepts": _schema_for(rom),
    }


def _schema_for(rom: Rom) -> dict[str, Any]:
    """The request's JSON schema with this ROM's limits and defaults."""
    schema = InvocationRequest.model_json_schema()
    preset, limits = rom.manifest.presets["default"], rom.manifest.limits
    fields = schema["properties"]
    fields["model"] = {"enum": ["auto", rom.id], "default": "auto"}
    fields["preset"] = {"enum": [*rom.manifest.presets, NO_PRESET], "default": "default"}
    own_class = adapted_class(rom.model_directory)
    offered = offered_schedulers(rom.manifest, own_class)
    fields["scheduler"] = {"enum": list(offered), "default": preset.scheduler or own_class}
    fields["num_inference_steps"] = {
        "type": "integer",
        "minimum": 1,
        "maximum": limits.max_steps,
        "default": preset.num_inference_steps,
    }
    fields["guidance_scale"] |= {"default": preset.guidance_scale}
    fields["decoder"] = {"enum": ["full", "tiny"] if rom.has_tiny_decoder else ["full"], "default": preset.decoder}
    schema["required"] = ["image"] if rom.is_upscaler else ["prompt"]
    if rom.is_upscaler:
        fields["upscale"] = {"enum": list(rom.factors), "default": max(rom.factors)}
    fields["num_images_per_prompt"] |= {"maximum": limits.max_batch}
    return schema
