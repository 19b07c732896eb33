"""The application that a caller speaks to: the three operations of the SageMaker runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deploy.local.archives import ModelArchives
from deploy.local.asynchronous import AsyncConfig, AsyncInvocations
from deploy.local.client import ContainerClient
from deploy.local.endpoint import Endpoint, Status
from deploy.local.errors import (
    ModelError,
    PayloadTooLarge,
    PlatformError,
    UnknownOperation,
    ValidationError,
    exited,
    not_in_service,
    timed_out,
)
from deploy.local.event_stream import payload_part, stream_error
from deploy.local.headers import IN_STREAM_HEADERS, TARGET_MODEL, forwarded, returned, returned_stream
from deploy.local.limits import ASYNC_INLINE_BYTES, Limits
from deploy.local.models import Models, invoke_path_of
from deploy.local.storage import Storage

_NO_ROOM = 507


@dataclass(frozen=True)
class FrontOptions:
    """What an endpoint is made of, beside its container."""

    limits: Limits
    archives: ModelArchives | None = None  # of a multi-model endpoint
    asynchronous: AsyncConfig | None = None
    storage: Storage | None = None  # where asynchronous payloads are


def create_front(endpoint: Endpoint, options: FrontOptions) -> Starlette:
    """An application whose life is that of the endpoint."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with endpoint.running(), ContainerClient(endpoint.container.url) as client:
            app.state.runtime = runtime = _Runtime(endpoint, options, client)
            async with runtime.working():
                yield

    routes = [
        Route("/endpoints/{name}/invocations", _invoke, methods=["POST"]),
        Route("/endpoints/{name}/invocations-response-stream", _invoke_stream, methods=["POST"]),
        Route("/endpoints/{name}/async-invocations", _invoke_async, methods=["POST"]),
        Route("/{path:path}", _unknown, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={PlatformError: _on_error})


class _Runtime:
    def __init__(self, endpoint: Endpoint, options: FrontOptions, client: ContainerClient) -> None:
        self.endpoint = endpoint
        self.limits = options.limits
        self.client = client
        self.models: Models | None = None
        self.asynchronous: AsyncInvocations | None = None
        if options.archives:
            self.models = Models(client, options.archives, options.limits.load_s)
        if options.asynchronous and options.storage:
            self.asynchronous = AsyncInvocations(options.asynchronous, client, options.storage)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        work = asyncio.create_task(self.asynchronous.work()) if self.asynchronous else None
        try:
            yield
        finally:
            if work:
                work.cancel()

    async def path(self, request: Request, stack: AsyncExitStack) -> str:
        """Where a request goes; its model stays loaded until `stack` is closed. Raises PlatformError."""
        if self.models is None:
            return "/invocations"
        target = request.headers.get(TARGET_MODEL)
        if target is None:
            raise ValidationError("Must specify TargetModel to invoke a multi-model endpoint.")
        return invoke_path_of(await stack.enter_async_context(self.models.holding(target)))


async def _invoke(request: Request) -> Response:
    runtime, _ = _opened(request)
    headers = forwarded(request.headers, multi_model=runtime.models is not None)
    body = await _read(request, runtime.limits.request_bytes)
    async with AsyncExitStack() as stack:
        reply = await runtime.client.call(
            await runtime.path(request, stack),
            body,
            headers,
            within_s=runtime.limits.invocation_s,
            at_most_bytes=runtime.limits.response_bytes,
        )
    if reply.status == _NO_ROOM and runtime.models:
        await runtime.models.make_room()
    if reply.is_error:
        raise ModelError(reply.status, reply.body)
    return Response(reply.body, 200, returned(reply.headers))


async def _invoke_stream(request: Request) -> Response:
    runtime, _ = _opened(request)
    headers = forwarded(request.headers, IN_STREAM_HEADERS, multi_model=runtime.models is not None)
    body = await _read(request, runtime.limits.request_bytes)
    deadline = asyncio.get_running_loop().time() + runtime.limits.stream_s
    async with AsyncExitStack() as stack:
        path = await runtime.path(request, stack)
        try:
            async with asyncio.timeout_at(deadline):
                response = await stack.enter_async_context(runtime.client.streaming(path, body, headers))
                if not response.is_success:
                    raise ModelError(response.status_code, await response.aread())
        except TimeoutError as error:
            raise timed_out() from error
        except httpx.TransportError as error:
            raise exited() from error
        return _Frames(_frames(response, deadline), returned_stream(response.headers), stack.pop_all())


async def _invoke_async(request: Request) -> Response:
    runtime, name = _opened(request)
    if runtime.asynchronous is None:
        raise ValidationError(f"Endpoint {name} is not configured for asynchronous inference.")
    accepted = runtime.asynchronous.accept(name, request.headers, await _read(request, ASYNC_INLINE_BYTES))
    locations = {
        "X-Amzn-SageMaker-OutputLocation": str(accepted.output),
        "X-Amzn-SageMaker-FailureLocation": str(accepted.failure),
    }
    return JSONResponse({"InferenceId": accepted.receipt.inference_id}, 202, locations)


async def _unknown(request: Request) -> Response:
    raise UnknownOperation(f"{request.method} {request.url.path} is no operation of the SageMaker runtime")


class _Frames(StreamingResponse):
    """A response that closes what it holds when it ends, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], headers: dict[str, str], held: AsyncExitStack) -> None:
        super().__init__(content, headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


async def _frames(response: httpx.Response, deadline: float) -> AsyncIterator[bytes]:
    """Each piece as it comes; an exception in the stream where it breaks off, or goes on past the deadline."""
    chunks = response.aiter_raw()
    try:
        while True:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield payload_part(chunk)
    except TimeoutError:
        message = "The model failed to finish sending the response within the timeout period allowed."
        yield stream_error("ModelStreamError", Message=message, ErrorCode="ModelInvocationTimeExceeded")
    except httpx.TransportError:
        message = "The connection between the client and the model was reset or closed."
        yield stream_error("ModelStreamError", Message=message, ErrorCode="StreamBroken")


def _opened(request: Request) -> tuple[_Runtime, str]:
    """Raises ValidationError where the endpoint is not in service."""
    runtime: _Runtime = request.app.state.runtime
    name: str = request.path_params["name"]
    if runtime.endpoint.status is not Status.IN_SERVICE:
        raise not_in_service(name)
    return runtime, name


async def _read(request: Request, limit_bytes: int) -> bytes:
    """The body. Raises PayloadTooLarge as soon as that is known."""
    if int(request.headers.get("content-length", 0)) > limit_bytes:
        raise PayloadTooLarge(limit_bytes)
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit_bytes:
            raise PayloadTooLarge(limit_bytes)
    return bytes(received)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    return error.response(request.path_params.get("name", ""))
