"""Asynchronous invocations: payloads and responses are objects in S3, and requests wait in a queue."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.client import ContainerClient, Reply
from deploy.local.errors import ModelError, PlatformError, ValidationError
from deploy.local.headers import CUSTOM_ATTRIBUTES, IN_ASYNC_HEADERS, INFERENCE_ID, forwarded
from deploy.local.limits import (
    ASYNC_DEFAULT_INVOCATION_S,
    ASYNC_INPUT_BYTES,
    ASYNC_INVOCATION_S,
    ASYNC_TTL_S,
)
from deploy.local.notifications import ERROR, SUCCESS, Notifications, Receipt
from deploy.local.storage import Location, Storage, StorageError

_PREFIX = "X-Amzn-SageMaker-"
_LACKS_LENGTH = "The response from container primary did not specify the required Content-Length header"


@dataclass(frozen=True)
class AsyncConfig:
    """An endpoint's AsyncInferenceConfig."""

    output: Location
    failures: Location
    notifications: Path | None = None
    concurrency: int = 4  # requests that the container gets at once


@dataclass(frozen=True)
class AsyncRequest:
    """One request in the queue."""

    receipt: Receipt
    headers: dict[str, str]  # for the container
    payload: Location | bytes
    output: Location
    failure: Location
    expires: float  # on the monotonic clock
    within_s: float


class AsyncInvocations:
    """The queue of an endpoint, and who works on it."""

    def __init__(self, config: AsyncConfig, client: ContainerClient, storage: Storage) -> None:
        self._config = config
        self._client = client
        self._storage = storage
        self._queue: asyncio.Queue[AsyncRequest] = asyncio.Queue()
        self._notifications = Notifications(config.notifications)

    async def work(self) -> None:
        """Until it is cancelled."""
        self._notifications.announce()
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._config.concurrency):
                workers.create_task(self._work())

    def accept(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> AsyncRequest:
        """Queue a call. Raises ValidationError."""
        inference_id = headers.get(INFERENCE_ID) or str(uuid.uuid4())
        given = forwarded(headers, IN_ASYNC_HEADERS) | {INFERENCE_ID: inference_id}
        payload = _payload(headers.get(f"{_PREFIX}InputLocation"), body)
        name = headers.get(f"{_PREFIX}Filename") or f"{inference_id}.out"
        output = self._config.output
        if extension := headers.get(f"{_PREFIX}S3OutputPathExtension"):
            output = output / extension.strip("/")
        request = AsyncRequest(
            receipt=Receipt(endpoint, inference_id, _described(given, payload)),
            headers=given,
            payload=payload,
            output=output / name,
            failure=self._config.failures / f"{inference_id}-error.out",
            expires=time.monotonic() + _seconds(headers, "RequestTTLSeconds", ASYNC_TTL_S, ASYNC_TTL_S[1]),
            within_s=_seconds(headers, "InvocationTimeoutSeconds", ASYNC_INVOCATION_S, ASYNC_DEFAULT_INVOCATION_S),
        )
        self._queue.put_nowait(request)
        return request

    async def _work(self) -> None:
        while True:
            request = await self._queue.get()
            try:
                await self._serve(request)
            except Exception as error:  # noqa: BLE001 - whatever it is ends this request, not the queue
                traceback.print_exception(error, file=sys.stderr)
                self._notifications.publish(ERROR, request.receipt.result("Failed", failureReason=str(error)))

    async def _serve(self, request: AsyncRequest) -> None:
        if time.monotonic() > request.expires:
            self._notifications.publish(ERROR, request.receipt.result("Expired"))
            return
        try:
            reply = await self._invoke(request)
            await self._write(request.output, reply.body, reply)
        except (PlatformError, StorageError) as error:
            await self._fail(request, error)
            return
        outcome = {"responseParameters": _stored(request.output, reply)}
        self._notifications.publish(SUCCESS, request.receipt.result("Completed", **outcome))

    async def _invoke(self, request: AsyncRequest) -> Reply:
        """Raises ModelError where the container fails, or does not say how long its response is; StorageError."""
        body = request.payload
        if isinstance(body, Location):
            body = await asyncio.to_thread(self._storage.read, body, ASYNC_INPUT_BYTES)
        reply = await self._client.call(
            "/invocations", body, request.headers, within_s=request.within_s, at_most_bytes=ASYNC_INPUT_BYTES
        )
        if reply.is_error:
            raise ModelError(reply.status, reply.body)
        if "content-length" not in reply.headers:
            raise ModelError(0, _LACKS_LENGTH)
        return reply

    async def _fail(self, request: AsyncRequest, error: PlatformError | StorageError) -> None:
        """What the container said goes to the failure location. Raises StorageError."""
        kind = "ClientError" if isinstance(error, ModelError) and 400 <= error.status < 500 else "InternalServerError"
        told = error.explain(request.receipt.endpoint) if isinstance(error, PlatformError) else str(error)
        original = error.original if isinstance(error, ModelError) else str(error)
        await self._write(request.failure, original.encode(), None)
        outcome = {"failureReason": f"{kind}: {told}", "responseParameters": {"outputLocation": str(request.failure)}}
        self._notifications.publish(ERROR, request.receipt.result("Failed", **outcome))

    async def _write(self, location: Location, data: bytes, reply: Reply | None) -> None:
        content_type = reply.headers.get("content-type", "application/octet-stream") if reply else "text/plain"
        await asyncio.to_thread(self._storage.write, location, data, content_type)


def _payload(location: str | None, body: bytes) -> Location | bytes:
    """Raises ValidationError."""
    if (location is None) == (not body):
        raise ValidationError("Body and InputLocation are mutually exclusive. Provide exactly one of them.")
    if location is None:
        return body
    try:
        return Location.parse(location)
    except StorageError as error:
        raise ValidationError(str(error)) from error


def _seconds(headers: Mapping[str, str], name: str, between: tuple[int, int], default: int) -> int:
    """Raises ValidationError."""
    text = headers.get(f"{_PREFIX}{name}")
    if text is None:
        return default
    shortest, longest = between
    if not text.isdecimal() or not shortest <= int(text) <= longest:
        raise ValidationError(f"{name} is {text}: must be {shortest} to {longest} seconds")
    return int(text)


def _described(headers: Mapping[str, str], payload: Location | bytes) -> dict[str, str]:
    names = {"Content-Type": "contentType", "Accept": "accept", CUSTOM_ATTRIBUTES: "customAttributes"}
    told = {names[name]: value for name, value in headers.items() if name in names}
    return told | ({"inputLocation": str(payload)} if isinstance(payload, Location) else {})


def _stored(location: Location, reply: Reply) -> dict[str, str]:
    return {"contentType": reply.headers.get("content-type", ""), "outputLocation": str(location)}
