"""From a form to what is on the screen while it is answered."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from app.client import Answer, Client, Event, ServiceError
from app.ui.following import follow
from app.ui.form import Form
from app.ui.report import ASKING, SENT, STOPPED, show_answer, show_error, show_progress, show_warnings
from app.ui.routing import show_choice, show_route
from app.ui.screen import Picture, Screen

_PREVIEWS = 4  # of each image
_SUFFIXES = {"image/jpeg": "jpg", "image/webp": "webp"}

Keep = Callable[[bytes, str], str]  # bytes and a file's name -> where they are kept, until nobody can see them any more


def ask_route(client: Client, form: Form) -> Screen:
    """Which ROM would draw it. Nothing is drawn."""
    try:
        answer = client.route(**form.fields())
    except ServiceError as error:
        return Screen(show_error(str(error)))
    return Screen(show_warnings(answer["warnings"]), routing=show_route(answer), answer=answer)


def draw(client: Client, form: Form, keep: Keep, stopped: threading.Event) -> Generator[Screen, None, None]:
    """First which ROM would, where that is left open; then how far it is; then its images.

    It is cancelled by closing it, and when `stopped` is set.
    """
    screen = Screen(ASKING)
    try:
        if form.is_routed:
            yield screen
            answer = client.route(**form.fields())
            screen = Screen(SENT, routing=show_route(answer), answer=answer)
        yield (screen := replace(screen, status=SENT))
        with closing(follow(client, {**form.fields(), "partial_images": _PREVIEWS})) as events:
            for screen in _screens(screen, events, keep, stopped):  # noqa: B020 - each is made of the one before
                yield screen
    except ServiceError as error:
        yield replace(screen, status=show_error(str(error)))


def _screens(
    screen: Screen, events: Generator[Event | None, None, None], keep: Keep, stopped: threading.Event
) -> Generator[Screen, None, None]:
    previews: dict[int, Picture] = {}
    latest: Event | None = None  # that tells how far it is
    since = time.monotonic()  # that event
    for event in events:
        if event is not None and event.name == "completed":
            yield _completed(screen, event.content, keep)
            return
        if stopped.is_set():
            events.close()
            yield replace(screen, status=STOPPED)
            return
        if event is not None and event.name == "partial_image":
            data = base64.b64decode(event.content["b64_json"])
            previews[event.content["index"]] = (keep(data, "preview.png"), f"after step {event.content['step']}")
            screen = replace(screen, pictures=[previews[index] for index in sorted(previews)])
        elif event is not None:
            latest, since = event, time.monotonic()
        if latest is not None:
            screen = replace(screen, status=show_progress(latest, time.monotonic() - since))
        yield screen


def _completed(screen: Screen, response: dict[str, Any], keep: Keep) -> Screen:
    answer = Answer.of(response)
    pictures = [
        (keep(data, f"seed-{image['seed']}.{_SUFFIXES.get(image['mime_type'], 'png')}"), f"seed {image['seed']}")
        for data, image in zip(answer.images, response["images"], strict=True)
    ]
    images = [{name: value for name, value in image.items() if name != "b64_json"} for image in response["images"]]
    route = {**screen.answer, **response["routing"]}  # the choice may have changed since it was asked
    routing = show_route(route) if screen.answer else show_choice(route)
    return Screen(show_answer(response), pictures, routing, {**response, "images": images})
