"""`POST /invocations`: one request in, one image or more out. `DELETE /requests/{request_id}`: its end before that."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from app.api.account import Account
from app.api.problems import problem_of
from app.api.streaming import EventStream, ProgressQueue, events
from app.api.waiting import outcome, waiting_for
from app.core import MIME_TYPES, GenerationRequest, GenerationResult, OutputFormat, OutputOptions
from app.errors import Cancelled, InvalidRequest, RequestTooLarge
from app.invoker.hosted import HostedModel
from app.invoker.jobs import Job
from app.invoker.service import Service
from app.wire.native import decode_json, parse_request, render_error, render_result
from app.wire.sagemaker import apply_headers

router = APIRouter()


@router.post("/invocations")
async def invocations(request: Request) -> Response:
    """Answer in JSON, by `Accept` with the bytes of one image, or for `stream` with events."""
    return await answer(request)


async def answer(request: Request, hosted: HostedModel | None = None) -> Response:
    """`hosted`: the only model that may be asked for."""
    service: Service = request.app.state.service
    account = Account(service, request.state.request_id)
    async with AsyncExitStack() as stack:
        stack.callback(account.close)
        stack.enter_context(account.failures())
        body = await read_body(request, service.options.max_request_bytes)
        generation = parse_body(body, request, hosted)
        request.state.request_id = generation.request_id
        account.asked(generation)
        job = await stack.enter_async_context(waiting_for(generation, service.jobs, request))
        if generation.stream:
            return await _stream(job, request, account, stack)
        result = await outcome(job)
        account.succeeded(result)
        return await asyncio.to_thread(_render, result, request)


@router.delete("/requests/{request_id:path}")
async def cancel(request_id: str, request: Request) -> JSONResponse:
    """Stop a request before its next step. Whoever waits for it is answered `cancelled`."""
    service: Service = request.app.state.service
    service.jobs.cancel(request_id)
    return JSONResponse({"id": request_id, "status": "cancelled"})


async def _stream(job: Job, request: Request, account: Account, stack: AsyncExitStack) -> Response:
    """A response that goes on after this returns. What is refused before it began is an ordinary error."""
    request_id = job.request.request_id
    progress = ProgressQueue(job)
    first = await progress.next()
    if first is None:
        await outcome(job)  # raises, or it was finished long ago

    async def completion() -> tuple[str, bytes]:
        try:
            with account.failures():
                result = await outcome(job)
        except Exception as error:  # noqa: BLE001 - the status has been sent; an event is all that is left
            return "error", json.dumps(render_error(problem_of(error, request), request_id)).encode()
        account.succeeded(result)
        return "completed", await asyncio.to_thread(render_result, result)

    account.streams()
    return EventStream(events(first, progress, completion), {"X-Request-Id": request_id}, stack.pop_all())


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, given up as soon as it is known to be too large."""
    declared = int(request.headers.get("content-length", 0))
    received = bytearray()
    if declared <= max_bytes:
        try:
            async for chunk in request.stream():
                received += chunk
                if len(received) > max_bytes:
                    break
            else:
                return bytes(received)
        except ClientDisconnect as error:
            raise Cancelled("the client left before the end of its body") from error
    raise RequestTooLarge(f"the body is above the limit of {max_bytes} bytes")


def parse_body(body: bytes, request: Request, hosted: HostedModel | None = None) -> GenerationRequest:
    """What the body and the headers ask for. Raises UndecodableRequest or InvalidRequest."""
    content = apply_headers(decode_json(body), request.headers, names_model=hosted is None)
    generation = parse_request(content, request.state.request_id)
    if hosted is not None:
        if generation.model not in ("auto", hosted.name, hosted.rom_id):
            raise InvalidRequest(f"is {generation.model!r}, and the address says {hosted.name!r}", param="model")
        generation = replace(generation, model=hosted.rom_id)
    if generation.stream or (wanted := _wanted_image(request)) is None:
        return generation
    return _one_image(generation, wanted.format)


def _wanted_image(request: Request) -> OutputOptions | None:
    """The image type that `Accept` asks for before anything else, if it does."""
    first = request.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return OutputOptions(MIME_TYPES[first]) if first in MIME_TYPES else None


def _one_image(generation: GenerationRequest, output_format: OutputFormat) -> GenerationRequest:
    params = generation.params
    if len(params.prompts) != 1 or params.num_images_per_prompt != 1 or len(params.seeds or (0,)) != 1:
        param = "prompt" if len(params.prompts) != 1 else "num_images_per_prompt"
        raise InvalidRequest("Accept asks for the bytes of one image", param=param)
    return replace(generation, output=replace(generation.output, format=output_format))


def _render(result: GenerationResult, request: Request) -> Response:
    headers = {"X-Request-Id": result.request_id}
    if _wanted_image(request) is None:
        return Response(render_result(result), media_type="application/json", headers=headers)
    image = result.images[0]
    headers |= {"X-Cartridge-Seed": str(image.seed), "X-Cartridge-Rom": result.route.rom_id}
    return Response(image.data, media_type=image.mime_type, headers=headers)
