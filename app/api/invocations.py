"""`POST /invocations`: one request in, one image or more out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request, Response

from app.core import MIME_TYPES, GenerationRequest, GenerationResult, OutputFormat, OutputOptions
from app.errors import CartridgeError, InvalidRequest, RequestTooLarge
from app.invoker.service import Service
from app.logs import log_event
from app.wire.native import decode_json, parse_request, render_result
from app.wire.sagemaker import apply_headers

router = APIRouter()


@router.post("/invocations")
async def invocations(request: Request) -> Response:
    """Parse, generate on a worker thread, and answer in JSON or, by `Accept`, with the bytes of one image."""
    service: Service = request.app.state.service
    started = time.monotonic()
    status, rom_id, fields = 500, "none", {}
    try:
        body = await _read_body(request, service.options.max_request_bytes)
        generation = _parse(body, request)
        request.state.request_id = generation.request_id
        fields = _describe(generation, service.options.log_prompts)
        loop = asyncio.get_running_loop()
        result, response = await loop.run_in_executor(service.workers, _generate, service, generation, request)
        status, rom_id = 200, result.route.rom_id
        timings = {name: round(value, 4) for name, value in asdict(result.timings).items()}
        fields |= {"steps": result.effective.num_inference_steps, "timings": timings}
        return response
    except CartridgeError as error:
        status = error.http_status
        fields |= {"code": error.code, "message": error.message, "param": error.param}
        raise
    finally:
        seconds = time.monotonic() - started
        service.metrics.observe_request(status, rom_id, seconds)
        log_event(
            "request",
            request_id=request.state.request_id,
            rom=rom_id,
            status=status,
            seconds=round(seconds, 4),
            **fields,
        )


async def _read_body(request: Request, max_bytes: int) -> bytes:
    """The body, given up as soon as it is known to be too large."""
    declared = int(request.headers.get("content-length", 0))
    received = bytearray()
    if declared <= max_bytes:
        async for chunk in request.stream():
            received += chunk
            if len(received) > max_bytes:
                break
        else:
            return bytes(received)
    raise RequestTooLarge(f"the body is above the limit of {max_bytes} bytes")


def _parse(body: bytes, request: Request) -> GenerationRequest:
    content = apply_headers(decode_json(body), request.headers)
    generation = parse_request(content, request.state.request_id)
    if (wanted := _wanted_image(request)) is None:
        return generation
    return _one_image(generation, wanted.format)


def _wanted_image(request: Request) -> OutputOptions | None:
    """The image type that `Accept` asks for before anything else, if it does."""
    first = request.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return OutputOptions(MIME_TYPES[first]) if first in MIME_TYPES else None


def _one_image(generation: GenerationRequest, output_format: OutputFormat) -> GenerationRequest:
    params = generation.params
    if params.num_images_per_prompt != 1 or len(params.seeds or (0,)) != 1:
        raise InvalidRequest("Accept asks for the bytes of one image", param="num_images_per_prompt")
    return replace(generation, output=replace(generation.output, format=output_format))


def _generate(service: Service, generation: GenerationRequest, request: Request) -> tuple[GenerationResult, Response]:
    """Runs on a worker thread: blocks until the images are there, then writes the body."""
    result = service.invoker.invoke(generation)
    headers = {"X-Request-Id": result.request_id}
    if _wanted_image(request) is None:
        return result, Response(render_result(result), media_type="application/json", headers=headers)
    image = result.images[0]
    headers |= {"X-Cartridge-Seed": str(image.seed), "X-Cartridge-Rom": result.route.rom_id}
    return result, Response(image.data, media_type=image.mime_type, headers=headers)


def _describe(generation: GenerationRequest, log_prompts: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": generation.model, "prompt_characters": len(generation.params.prompt)}
    if log_prompts:
        fields["prompt"] = generation.params.prompt
    return fields
