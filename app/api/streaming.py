"""A request as server-sent events: `queued`, `step`, `partial_image`, then `completed` or `error`."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.core import OutputOptions
from app.imaging import Pixels, encode_image
from app.invoker.jobs import Job
from app.invoker.progress import PartialImages, Progress, Queued, StepDone

_HEARTBEAT_S = 10.0
_PREVIEW = OutputOptions("png")
_UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # nginx passes on what comes, as it comes


class EventStream(StreamingResponse):
    """A response of events that closes what it holds when it ends, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], headers: dict[str, str], held: AsyncExitStack) -> None:
        super().__init__(content, headers={**_UNBUFFERED, **headers})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


class ProgressQueue:
    """What happens to a job, brought from the engine's thread to the event loop; None when it has ended."""

    def __init__(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Progress | None] = asyncio.Queue()

        def bring(progress: Progress | None) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever followed
                loop.call_soon_threadsafe(self._queue.put_nowait, progress)

        job.follow(bring)
        job.future.add_done_callback(lambda _: bring(None))

    async def next(self) -> Progress | None:
        return await self._queue.get()


async def events(
    first: Progress | None,
    progress: ProgressQueue,
    completion: Callable[[], Awaitable[tuple[str, bytes]]],
    heartbeat_s: float = _HEARTBEAT_S,
) -> AsyncIterator[bytes]:
    """The body: events as they happen, comments while nothing does, and the whole response or the error at the end."""
    happened: Progress | _Silence | None = first
    while happened is not None:
        for event in _render(happened):
            yield event
        try:
            async with asyncio.timeout(heartbeat_s):
                happened = await progress.next()
        except TimeoutError:
            happened = _Silence()
    yield _event(*await completion())


@dataclass(frozen=True)
class _Silence:
    """Nothing has happened for a while."""


def _render(progress: Progress | _Silence) -> list[bytes]:
    match progress:
        case _Silence():
            return [b": still here\n\n"]
        case Queued():
            content = {"id": progress.request_id, "position": progress.position, "predicted_s": progress.predicted_s}
            return [_event("queued", _json(content))]
        case StepDone():
            content = {"step": progress.step, "steps": progress.steps, "elapsed_s": progress.elapsed_s}
            return [_event("step", _json(content))]
        case PartialImages():
            return [
                _event("partial_image", _json({"step": progress.step, "index": index, "b64_json": _png(pixels)}))
                for index, pixels in enumerate(progress.images)
            ]


def _png(pixels: Pixels) -> str:
    return base64.b64encode(encode_image(pixels, _PREVIEW)).decode("ascii")


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _event(name: str, content: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + content + b"\n\n"
