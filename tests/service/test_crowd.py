"""A crowd before the real service and the embedded ROM: everybody who stays gets what is theirs."""

from __future__ import annotations

import base64
import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image

from app.client import Client, ServiceError
from app.imaging import Pixels
from tests.service.conftest import Note
from tests.support.probe import Pings, probing
from tests.support.serving import PATIENCE_S, Serving, children_of

CROWD = 64
SIZES = ((128, 128), (64, 64), (96, 64), (64, 96))
SAME_LEVELS = 2.0  # root mean square; in bfloat16 the last bits of a larger batch may move contours a little
PING_GOAL_S = 0.05
MOST_GROWTH_BYTES = 64 * 1024 * 1024
WAYS_TO_LEAVE = ("hang up", "cut the stream")


@dataclass(frozen=True)
class Guest:
    """One client: what it asks, and whether and how it leaves before its answer."""

    asked: dict[str, Any]
    leaves: str = ""
    after_events: int = 1


def make_guests() -> list[Guest]:
    """The same crowd every time; a third of it leaves."""
    chance = random.Random(64)
    guests = []
    for number in range(CROWD):
        width, height = chance.choice(SIZES)
        asked: dict[str, Any] = {
            "model": "shapes",  # under load a quicker twin would do
            "prompt": chance.choice(("a large red star", "a small blue ring", "three green circles")),
            "seed": 1000 + number,
            "num_inference_steps": chance.randint(2, 8),
            "width": width,
            "height": height,
        }
        leaves = chance.choice(WAYS_TO_LEAVE) if number % 3 == 0 else ""
        guests.append(Guest(asked, leaves, chance.randint(1, asked["num_inference_steps"])))
    return guests


@contextmanager
def suppress_refusal() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        assert str(error).startswith("429")


def visit(service: Serving, guest: Guest, together: threading.Barrier) -> httpx.Response | None:
    """The answer, or None for a guest who has left."""
    with httpx.Client(base_url=service.local.url, timeout=PATIENCE_S) as http, Client(service.local.url) as client:
        together.wait(PATIENCE_S)
        if guest.leaves == "hang up":
            with closing(service.call(**guest.asked)):
                return None
        if guest.leaves == "cut the stream":
            with closing(client.stream(**guest.asked)) as events, suppress_refusal():
                for _ in range(guest.after_events):
                    next(events)
            return None
        return http.post("/invocations", json=guest.asked)


def picture(answer: httpx.Response) -> Pixels:
    (image,) = answer.json()["images"]
    assert image["finish_reason"] == "completed"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image["b64_json"]))))


def difference(one: Pixels, other: Pixels) -> float:
    """Root mean square, in levels of a colour."""
    if one.shape != other.shape:
        return 255.0
    return float(np.sqrt(np.mean((one.astype(float) - other.astype(float)) ** 2)))


def resident_bytes(service: Serving) -> int:
    """Memory of the worker."""
    (worker,) = children_of(service.child("gunicorn"))
    with open(f"/proc/{worker}/status", encoding="ascii") as status:
        (line,) = (line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def let_in(service: Serving, guests: list[Guest]) -> tuple[list[httpx.Response | None], Pings]:
    """All guests at once, and what `/ping` said meanwhile."""
    together = threading.Barrier(len(guests))
    with probing(service.local.url) as pings, ThreadPoolExecutor(len(guests)) as threads:
        visits = [threads.submit(visit, service, guest, together) for guest in guests]
        answers = [future.result(PATIENCE_S) for future in visits]
        service.until_depth(0)
    return answers, pings


def test_everybody_who_stays_gets_their_own_picture(shapes: Serving, note: Note) -> None:
    guests = make_guests()
    staying = [guest for guest in guests if not guest.leaves]
    alone = [picture(shapes.invoke(**guest.asked)) for guest in staying]
    for _ in range(2):  # kernels for every size of batch are made once, and kept: most of them for the first two crowds
        let_in(shapes, guests)
    memory = resident_bytes(shapes)
    answers, pings = let_in(shapes, guests)

    assert [answer is None for answer in answers] == [bool(guest.leaves) for guest in guests]
    stayed = [answer for answer in answers if answer is not None]
    assert {answer.status_code for answer in stayed} <= {200, 429}
    assert all(answer.json()["error"]["retryable"] for answer in stayed if answer.status_code == 429)
    served = [index for index, answer in enumerate(stayed) if answer.status_code == 200]
    assert served
    for index in served:
        got = picture(stayed[index])
        same = [other for other, expected in enumerate(alone) if difference(got, expected) <= SAME_LEVELS]
        assert same == [index]

    assert set(pings.statuses) == {200}
    assert pings.percentile_s(50) < PING_GOAL_S
    growth = resident_bytes(shapes) - memory
    assert growth < MOST_GROWTH_BYTES
    note(
        f"{len(served)} of {len(staying)} served; ping median {pings.percentile_s(50) * 1000:.1f} ms, "
        f"p99 {pings.percentile_s(99) * 1000:.1f} ms of {len(pings.seconds)}; memory {growth / 1024 / 1024:+.0f} MiB"
    )
