"""A request on its way, watched by somebody who may leave."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from app.client import Client, Event, ServiceError

_TICK_S = 0.25


def follow(client: Client, fields: dict[str, Any]) -> Generator[Event | None, None, None]:
    """The events of a request as they come, without steps that are over before anybody could see them.

    And None every now and then while there is none, so that it can be closed while nothing happens: closing it cancels
    the request and closes its stream. Raises ServiceError.
    """
    request_id = uuid4().hex
    arrivals: SimpleQueue[Event | ServiceError | None] = SimpleQueue()  # None: there will be no more
    left = threading.Event()

    def read() -> None:
        try:
            with closing(client.stream(**fields, request_id=request_id)) as events:
                for event in events:
                    arrivals.put(event)
                    if left.is_set():  # before the service knew the request, so that it could not be cancelled by id
                        return
        except ServiceError as error:
            arrivals.put(error)
        finally:
            arrivals.put(None)

    threading.Thread(target=read, daemon=True, name=f"request {request_id}").start()
    try:
        yield from _until_none(arrivals)
    except GeneratorExit:
        left.set()
        with suppress(ServiceError):  # it has ended, or is not there yet
            client.cancel(request_id)
        raise


def _until_none(arrivals: SimpleQueue[Event | ServiceError | None]) -> Generator[Event | None, None, None]:
    while True:
        try:
            arrival = arrivals.get(timeout=_TICK_S)
        except Empty:
            yield None
            continue
        if isinstance(arrival, ServiceError):
            raise arrival
        if arrival is None:
            return
        if arrival.name == "step" and not arrivals.empty():  # who looks on is slower than the steps
            continue
        yield arrival
