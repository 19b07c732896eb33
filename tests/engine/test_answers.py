"""Whatever happens, in whatever order: every accepted request gets exactly one answer, and it is its own."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from app.backends.fake import FakeBackend
from app.core import SCHEDULERS, Budget
from app.engine.state import EngineResult, RequestState
from app.errors import BackendError, DeadlineExceeded
from tests.support.backends import TroubledBackend, UndecodableBackend
from tests.support.bench import Bench, alone

PROMPTS = st.sampled_from(["red", "green", "blue"])
TROUBLES = st.sampled_from([TroubledBackend.UNENCODABLE, TroubledBackend.UNPREDICTABLE])


@dataclass(frozen=True)
class Asked:
    rom_id: str
    prompt: str
    scheduler: str
    num_inference_steps: int
    guidance_scale: float
    seeds: tuple[int, ...]

    @property
    def params(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "rom_id"}


ASKED = st.builds(
    Asked,
    rom_id=st.sampled_from(["sound", "troubled"]),
    prompt=PROMPTS,
    scheduler=st.sampled_from(SCHEDULERS),
    num_inference_steps=st.integers(1, 4),
    guidance_scale=st.sampled_from([1.0, 4.0]),
    seeds=st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple),
)


@cache
def picture(asked: Asked) -> bytes:
    return b"".join(image.tobytes() for image in alone(FakeBackend(), **asked.params).future.result(0).images)


class AnyDay(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(max_batch_size=3)
        self.backends = {"sound": FakeBackend(), "troubled": TroubledBackend(), "undecodable": UndecodableBackend()}
        self.answers: Counter[str] = Counter()
        self.submitted: list[tuple[Asked, RequestState]] = []

    def submit(self, asked: Asked, timeout_s: float) -> None:
        backend = self.backends[asked.rom_id]
        state = self.bench.submit(backend, rom_id=asked.rom_id, budget=Budget(timeout_s), **asked.params)
        state.future.add_done_callback(partial(self.count, state.request_id))
        self.submitted.append((asked, state))

    def count(self, request_id: str, future: Future[EngineResult]) -> None:
        self.answers[request_id] += 1

    @rule(asked=ASKED, timeout_s=st.integers(1, 20))
    def submit_sound(self, asked: Asked, timeout_s: int) -> None:
        self.submit(asked, timeout_s)

    @rule(prompt=TROUBLES, seeds=st.sampled_from([(0,), (0, 1)]))
    def submit_trouble(self, prompt: str, seeds: tuple[int, ...]) -> None:
        self.submit(Asked("troubled", prompt, "ddim", 3, 1.0, seeds), 20)

    @rule()
    def submit_undecodable(self) -> None:
        self.submit(Asked("undecodable", "red", "ddim", 1, 1.0, (0,)), 20)

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.bench.clock.advance(seconds)

    @precondition(lambda self: self.submitted)
    @rule(times=st.integers(1, 3))
    def tick(self, times: int) -> None:
        self.bench.tick(times)

    def teardown(self) -> None:
        self.bench.run()
        assert self.answers == Counter(state.request_id for _, state in self.submitted)
        for asked, state in self.submitted:
            self.check(asked, state)

    def check(self, asked: Asked, state: RequestState) -> None:
        """A picture is the request's own; a failure has its cause."""
        error = state.future.exception(0)
        if error is None:
            assert b"".join(image.tobytes() for image in state.future.result(0).images) == picture(asked)
        elif isinstance(error, DeadlineExceeded):
            assert self.bench.clock.now >= state.deadline
        else:
            assert isinstance(error, BackendError)
            assert asked.rom_id != "sound"
        if asked.prompt in (TroubledBackend.UNENCODABLE, TroubledBackend.UNPREDICTABLE):
            assert error is not None


TestAnyDay = AnyDay.TestCase
TestAnyDay.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
