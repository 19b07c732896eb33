"""A job's progress as the text of server-sent events."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from PIL import Image

from app.api.streaming import ProgressQueue, events
from app.backends.fake import FakeBackend
from app.core import GenerationParams, GenerationRequest
from app.invoker.jobs import Job
from tests.support.bench import Bench
from tests.support.results import make_result

HOURS_S = 7200.0
Stream = AsyncIterator[bytes]


class Stand:
    """A job of two images and four steps in an engine that is driven by hand, and the stream of its events."""

    def __init__(self, partial_images: int = 0) -> None:
        self.bench = Bench()
        self.job = Job(GenerationRequest("r1", GenerationParams("a lighthouse"), partial_images=partial_images))

    def watch(self, look: Callable[[Stream], Awaitable[None]], heartbeat_s: float = HOURS_S) -> None:
        async def watched() -> None:
            progress = ProgressQueue(self.job)
            self.job.accepted(self.bench.engine, self.bench.submit(FakeBackend(), listener=self.job, seeds=(7, 8)))
            await look(events(await progress.next(), progress, self.completion, heartbeat_s))

        asyncio.run(watched())

    def finish(self) -> None:
        self.bench.run()
        self.job.future.set_result(make_result(self.job.request))

    async def completion(self) -> tuple[str, bytes]:
        assert self.job.future.done()
        return "completed", b'{"id":"r1"}'


def parsed(chunk: bytes) -> tuple[str, dict[str, Any]]:
    """Name and content of an event that is written as it must be."""
    name, data, *rest = chunk.decode().split("\n")
    assert rest == ["", ""]
    assert (name[:7], data[:6]) == ("event: ", "data: ")
    return name[7:], json.loads(data[6:])


def test_every_event_has_a_name_and_one_line_of_json() -> None:
    stand = Stand()

    async def look(stream: Stream) -> None:
        name, queued = parsed(await anext(stream))
        assert (name, queued["id"], queued["position"]) == ("queued", "r1", 0)
        stand.finish()
        *steps, completed = [parsed(chunk) async for chunk in stream]
        assert completed == ("completed", {"id": "r1"})
        assert [(name, step["step"], step["steps"]) for name, step in steps] == [("step", i, 4) for i in (1, 2, 3, 4)]
        assert all(step["elapsed_s"] >= 0 for _, step in steps)

    stand.watch(look)


def test_a_partial_image_is_a_png_of_each_image_of_the_request() -> None:
    stand = Stand(partial_images=1)

    async def look(stream: Stream) -> None:
        stand.finish()
        found = [parsed(chunk) async for chunk in stream]
        partial = [content for name, content in found if name == "partial_image"]
        assert [(content["step"], content["index"]) for content in partial] == [(2, 0), (2, 1)]
        for content in partial:
            with Image.open(io.BytesIO(base64.b64decode(content["b64_json"]))) as image:
                image.load()
                assert image.format == "PNG"
        assert partial[0]["b64_json"] != partial[1]["b64_json"]

    stand.watch(look)


def test_while_nothing_happens_there_are_comments() -> None:
    stand = Stand()

    async def look(stream: Stream) -> None:
        assert parsed(await anext(stream))[0] == "queued"
        comments = [await anext(stream) for _ in range(3)]
        assert all(comment.startswith(b": ") and comment.endswith(b"\n\n") for comment in comments)
        stand.finish()
        names = [parsed(chunk)[0] async for chunk in stream if not chunk.startswith(b":")]
        assert names == ["step"] * 4 + ["completed"]

    stand.watch(look, heartbeat_s=0.001)


def test_a_job_that_was_finished_before_is_completed_at_once() -> None:
    stand = Stand()
    stand.job.future.set_result(make_result(stand.job.request))

    async def look() -> None:
        progress = ProgressQueue(stand.job)
        assert await progress.next() is None
        assert [parsed(chunk) async for chunk in events(None, progress, stand.completion)] == [
            ("completed", {"id": "r1"})
        ]

    asyncio.run(look())
