"""Waiting for a job as long as the client does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from app.core import GenerationRequest, GenerationResult
from app.invoker.jobs import Job, Jobs


@asynccontextmanager
async def waiting_for(generation: GenerationRequest, jobs: Jobs, request: Request) -> AsyncIterator[Job]:
    """The request's job, left when the client disconnects: if nobody else waits for it, it is then cancelled."""
    job = jobs.begin(generation)
    watcher = asyncio.create_task(_disconnect(request))
    watcher.add_done_callback(lambda _: jobs.leave(job))
    try:
        yield job
    finally:
        watcher.cancel()


async def outcome(job: Job) -> GenerationResult:
    """The job's result. Raises its error."""
    return await asyncio.shield(asyncio.wrap_future(job.future))


async def _disconnect(request: Request) -> None:
    """Return when the client has gone. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
