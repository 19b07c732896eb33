"""What clients do to a server: a closed loop of patient clients, and an open loop of arrivals that wait for nobody."""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import httpx
import numpy as np

from app.roms.manifest import Preset
from benchmarks.servers import ImageRequest, Server

REFUSALS = (429, 503)
_TRANSPORT_ERROR = 0  # the status of an answer that never came
_TIMEOUT_S = 600.0
_COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan")
_SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond")


@dataclass(frozen=True)
class Arrival:
    at_s: float  # after the start of the loop
    request: ImageRequest


@dataclass(frozen=True)
class Answer:
    """What one request came to. What follows `latency_s` is there where the status is 200."""

    status: int
    latency_s: float
    first_step_s: float = 0.0  # from the request's arrival at the server
    png: bytes = b""
    finish_reason: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it is one that took all its steps."""
        return self.finish_reason == "completed"


@dataclass(frozen=True)
class Sample:
    """One run of a loop against one server; the answers in the order of the requests."""

    answers: tuple[Answer, ...]
    seconds: float

    @property
    def images(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.is_image]


def image_requests(preset: Preset, count: int, steps: Sequence[int]) -> list[ImageRequest]:
    """Requests with different prompts and seeds, and the numbers of steps in turn."""
    prompts = [f"a large {colour} {shape} on a black background" for colour in _COLOURS for shape in _SHAPES]
    return [
        ImageRequest(prompt, seed, number, preset.guidance_scale, preset.width or 128, preset.height or 128)
        for seed, prompt, number in zip(range(count), itertools.cycle(prompts), itertools.cycle(steps), strict=False)
    ]


def poisson_arrivals(requests: Sequence[ImageRequest], rate: float, seed: int) -> list[Arrival]:
    """`rate` requests a second on average, at times that know nothing of each other."""
    gaps = random.Random(seed)
    times = itertools.accumulate(gaps.expovariate(rate) for _ in requests)
    return [Arrival(at_s, request) for at_s, request in zip(times, requests, strict=True)]


def closed_loop(server: Server, requests: Sequence[ImageRequest], clients: int) -> Sample:
    """Every client sends its next request when its last is answered, until there are no more."""
    return asyncio.run(_closed_loop(server, requests, clients))


def open_loop(server: Server, arrivals: Sequence[Arrival]) -> Sample:
    """Every request is sent at its time, whatever became of those before it."""
    return asyncio.run(_open_loop(server, arrivals))


async def _closed_loop(server: Server, requests: Sequence[ImageRequest], clients: int) -> Sample:
    pending = iter(enumerate(requests))
    answers: dict[int, Answer] = {}
    started = time.perf_counter()
    async with _http_client(server) as http, asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(_patient_client(http, server, pending, answers))
    seconds = time.perf_counter() - started
    return Sample(tuple(answers[index] for index in range(len(requests))), seconds)


async def _patient_client(
    http: httpx.AsyncClient, server: Server, pending: Iterator[tuple[int, ImageRequest]], answers: dict[int, Answer]
) -> None:
    for index, request in pending:
        answers[index] = await _ask(http, server, request)


async def _open_loop(server: Server, arrivals: Sequence[Arrival]) -> Sample:
    started = time.perf_counter()
    async with _http_client(server) as http, asyncio.TaskGroup() as tasks:
        sent = []
        for arrival in arrivals:
            await asyncio.sleep(started + arrival.at_s - time.perf_counter())
            sent.append(tasks.create_task(_ask(http, server, arrival.request)))
    seconds = time.perf_counter() - started
    return Sample(tuple(task.result() for task in sent), seconds)


async def _ask(http: httpx.AsyncClient, server: Server, request: ImageRequest) -> Answer:
    sent = time.perf_counter()
    try:
        response = await http.post("/invocations", json=asdict(request))
    except httpx.TransportError:
        return Answer(_TRANSPORT_ERROR, time.perf_counter() - sent)
    latency_s = time.perf_counter() - sent
    if response.status_code != httpx.codes.OK:
        return Answer(response.status_code, latency_s)
    (image,) = response.json()["images"]
    png = base64.b64decode(image["b64_json"])
    return Answer(response.status_code, latency_s, server.first_step_s(response), png, image["finish_reason"])


def _http_client(server: Server) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=server.local.url, timeout=_TIMEOUT_S, limits=limits)


def percentile(values: Sequence[float], rank: float) -> float:
    """`rank` is 0-100; nan of nothing."""
    return float(np.percentile(values, rank)) if values else float("nan")
