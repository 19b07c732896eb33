"""The container whose rules are looked at, and what is asked of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import httpx

from deploy.local.conformance.rule import Broken, Skipped
from deploy.local.container import MODEL_DIR, Container, DockerImage, RunningContainer, Stop, container_of
from deploy.local.headers import USER_AGENT
from deploy.local.limits import Limits
from deploy.local.ping import Ping, ping

_LATE_S = 10.0  # more than the limit, so that a late answer is told from none
_PATIENCE = 5  # times the limit, likewise
_STEADY = 3  # pings that must succeed after the first


@dataclass(frozen=True)
class Asked:
    """What a container is asked to infer, and what it is started with."""

    body: bytes
    content_type: str = "application/json"
    stream_body: bytes | None = None  # makes it answer in pieces
    model_url: str | None = None  # a model, as the container sees it, for a multi-model container
    environment: Mapping[str, str] = field(default_factory=dict)
    model_data: Path | None = None  # mounted into an image
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Start:
    """How a container started."""

    status: int | None  # its exit status, if it ended instead
    ready_s: float | None  # until the first 200 of /ping
    steady: bool  # the next ones were 200, too
    last: Ping | None
    first: httpx.Response | str | None  # what the first request after that got; why it got nothing


@dataclass(frozen=True)
class Answered:
    response: httpx.Response
    took_s: float


class Subject:
    """Started, looked at, stopped. Where the target is a URL, somebody else does the first and the last."""

    def __init__(self, target: str | None, asked: Asked) -> None:
        self.target = target
        self.asked = asked
        self.mounts = {asked.model_data: MODEL_DIR} if asked.model_data else {}
        self.container: Container = container_of(target, asked.environment, self.mounts)
        self.start: Start | None = None
        self.http = httpx.Client(
            base_url=self.container.url,
            timeout=asked.limits.invocation_s + _LATE_S,
            headers={"User-Agent": USER_AGENT},
            trust_env=False,
        )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Raises ContainerError."""
        with ExitStack() as stack:
            stack.enter_context(self.http)
            if not isinstance(self.container, RunningContainer):
                self.container.start()
                stack.callback(lambda: self.stop)
                self.start = self._watch_start()
            yield

    @property
    def is_image(self) -> bool:
        return isinstance(self.container, DockerImage)

    @property
    def image(self) -> str:
        """Raises Skipped."""
        if not isinstance(self.container, DockerImage):
            raise Skipped("only an image has it")
        return str(self.target)

    def started(self) -> Start:
        """Raises Skipped where somebody else started it."""
        if self.start is None:
            raise Skipped("it runs already; a program or an image would be started")
        return self.start

    def alive(self) -> None:
        """Raises Skipped where it has ended."""
        if self.container.ended() is not None:
            raise Skipped("it has ended")

    def running(self) -> None:
        """Raises Skipped where there is nothing to look at."""
        self.alive()
        if self.start and self.start.last and self.start.last.accept_s is None:
            raise Skipped("it does not listen")

    def ping(self) -> Ping:
        return ping(self.container.url, self.asked.limits)

    @cached_property
    def patient_ping(self) -> Ping:
        """With so much time that a late answer is told from a wrong one."""
        return self.ping_patiently("GET")

    def ping_patiently(self, method: str) -> Ping:
        limits = self.asked.limits
        patient = replace(limits, accept_s=_PATIENCE * limits.accept_s, ping_s=_PATIENCE * limits.ping_s)
        return ping(self.container.url, patient, method)

    @cached_property
    def stop(self) -> tuple[Stop, float]:
        """How it stopped, and how many seconds that took. It is stopped once."""
        began = time.monotonic()
        return self.container.stop(self.asked.limits.stop_s), time.monotonic() - began

    def post(self, body: bytes, headers: Mapping[str, str] | None = None, path: str = "/invocations") -> httpx.Response:
        """Raises Broken where no answer comes."""
        self.running()
        try:
            sent = {"Content-Type": self.asked.content_type, **(headers or {})}
            return self.http.post(path, content=body, headers=sent)
        except httpx.TimeoutException as error:
            raise Broken(f"no answer within {self.asked.limits.invocation_s + _LATE_S:g} s") from error
        except httpx.TransportError as error:
            raise Broken(f"the connection broke: {error}") from error

    def get(self, path: str, method: str = "GET") -> httpx.Response:
        """Raises Broken where no answer comes."""
        self.running()
        try:
            return self.http.request(method, path)
        except httpx.TransportError as error:
            raise Broken(f"no answer: {error}") from error

    @cached_property
    def plain(self) -> Answered:
        """The answer to the request as it is. Raises Broken."""
        began = time.monotonic()
        response = self.post(self.asked.body)
        return Answered(response, time.monotonic() - began)

    def served(self) -> Answered:
        """Raises Skipped where the plain request is not served."""
        try:
            answered = self.plain
        except Broken as broken:
            raise Skipped("the request is not answered at all") from broken
        if not answered.response.is_success:
            raise Skipped("the request is not served at all")
        return answered

    def accepts(self, headers: Mapping[str, str]) -> str:
        """That the plain request is served with these headers, too. Raises Broken, Skipped."""
        self.served()
        answer = self.post(self.asked.body, headers)
        if not answer.is_success:
            raise Broken(f"with it the same request is answered {summary(answer)}")
        return f"answered {answer.status_code}"

    def _watch_start(self) -> Start:
        began = time.monotonic()
        limit = self.asked.limits.start_s
        while time.monotonic() - began < limit:
            last = self.ping()
            if (status := self.container.ended()) is not None:
                return Start(status, None, False, last, None)
            if last.is_healthy:
                ready_s = time.monotonic() - began
                first = self._first()
                steady = all(self.ping().is_healthy for _ in range(_STEADY))
                return Start(None, ready_s, steady, last, first)
            time.sleep(0.05)
        return Start(None, None, False, self.ping(), None)

    def _first(self) -> httpx.Response | str:
        try:
            return self.http.post(
                "/invocations", content=self.asked.body, headers={"Content-Type": self.asked.content_type}
            )
        except httpx.TransportError as error:
            return str(error) or type(error).__name__


def summary(answer: httpx.Response) -> str:
    """A status and the beginning of the body, in one line."""
    text = " ".join(answer.text.split())
    return f"{answer.status_code} {text[:120]}".strip()
