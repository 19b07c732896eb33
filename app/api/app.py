"""The FastAPI application."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app import __version__
from app.api import invocations, models, operations, problems, routing
from app.invoker.service import Service


def create_app(running: Callable[[], AbstractContextManager[Service]]) -> FastAPI:
    """An application whose life is that of the service that `running` starts and stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with running() as service:
            app.state.service = service
            yield

    app = FastAPI(title="Cartridge", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(operations.router)
    app.include_router(invocations.router)
    app.include_router(models.router)
    app.include_router(routing.router)
    problems.install(app)
    app.add_middleware(RequestIds)  # the last is the outermost
    return app


class RequestIds:
    """Gives every request an id, before anything can fail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["request_id"] = uuid.uuid4().hex
        await self._app(scope, receive, send)
