"""Errors to HTTP, in one place and one shape."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import CartridgeError, Overloaded
from app.logs import log_event
from app.wire.native import render_error

_NEVER_RETRY = (409, 504, 507)  # though clients take these statuses for passing troubles


class NotFound(CartridgeError):
    code = "not_found"
    http_status = 404


class MethodNotAllowed(CartridgeError):
    code = "method_not_allowed"
    http_status = 405


_ROUTING_ERRORS: dict[int, Callable[[str], CartridgeError]] = {404: NotFound, 405: MethodNotAllowed}


def problem_response(error: CartridgeError, request_id: str) -> JSONResponse:
    """The answer to a request that failed."""
    headers = {"X-Request-Id": request_id}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(round(error.retry_after_s * 1000))
    if error.http_status in _NEVER_RETRY or (error.http_status == Overloaded.http_status and not error.retryable):
        headers["x-should-retry"] = "false"
    return JSONResponse(render_error(error, request_id), error.http_status, headers)


def problem_of(error: Exception, request: Request) -> CartridgeError:
    """What the client is told of any error. One that nobody foresaw is logged with its traceback, answered without."""
    if isinstance(error, CartridgeError):
        return error
    log_event("unexpected_error", error=error, request_id=request.state.request_id, path=request.url.path)
    return CartridgeError("an internal error; the log has the details")


def install(app: FastAPI) -> None:
    """Make every error of `app`, expected or not, answer in the one shape."""
    app.add_exception_handler(CartridgeError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(UnforeseenErrors)


class UnforeseenErrors:
    """Answers what no handler took.

    Starlette would answer it too, but raises it again, whereupon uvicorn closes the connection; and the next request
    that nginx has put on it is lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if scope["type"] != "http" or has_started:
                raise
            await (await _on_error(Request(scope), error))(scope, receive, send)


async def _on_error(request: Request, error: Exception) -> Response:
    return problem_response(problem_of(error, request), request.state.request_id)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405."""
    assert isinstance(error, HTTPException)
    make = _ROUTING_ERRORS.get(error.status_code, CartridgeError)
    response = problem_response(make(f"{request.method} {request.url.path}: {error.detail}"), request.state.request_id)
    response.headers.update(error.headers or {})
    return response
