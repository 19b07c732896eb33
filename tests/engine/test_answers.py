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
from app.core import SCHEDULERS, Budget, OnDeadline
from app.engine.care import DeviceCare
from app.engine.state import EngineResult, RequestState, Row
from app.errors import BackendError, Cancelled, DeadlineExceeded, OutOfRomMemory, Overloaded
from tests.support.backends import CrampedBackend, TimedBackend, TroubledBackend, UndecodableBackend
from tests.support.bench import A_MINUTE, Bench, alone, image_of

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
    width: int = 16

    @property
    def params(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "rom_id"}


ASKED = st.builds(
    Asked,
    rom_id=st.sampled_from(["sound", "troubled", "slow"]),
    prompt=PROMPTS,
    scheduler=st.sampled_from(SCHEDULERS),
    num_inference_steps=st.integers(1, 4),
    guidance_scale=st.sampled_from([1.0, 4.0]),
    seeds=st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple),
    width=st.sampled_from([16, 24]),
)


@cache
def picture(asked: Asked) -> bytes:
    return image_of(alone(FakeBackend(), **asked.params))


class AnyDay(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(max_batch_size=3, care=DeviceCare(free_memory=self.free_memory))
        self.cramped = CrampedBackend(rows=2)
        self.backends = {
            "sound": FakeBackend(),
            "troubled": TroubledBackend(),
            "undecodable": UndecodableBackend(),
            "cramped": self.cramped,
            "slow": TimedBackend(self.bench.clock, lambda rows: 0.5 + rows / 4, encode_s=0.25, decode_s=0.5),
        }
        self.idle_roms = 1
        self.answers: Counter[str] = Counter()
        self.submitted: list[tuple[Asked, RequestState]] = []

    def submit(self, asked: Asked, budget: Budget) -> None:
        backend = self.backends[asked.rom_id]
        try:
            state = self.bench.submit(backend, rom_id=asked.rom_id, budget=budget, **asked.params)
        except Overloaded:
            return
        state.future.add_done_callback(partial(self.count, state.request_id))
        self.submitted.append((asked, state))

    def free_memory(self) -> bool:
        self.idle_roms -= 1
        return self.idle_roms >= 0

    def count(self, request_id: str, future: Future[EngineResult]) -> None:
        self.answers[request_id] += 1

    @rule(asked=ASKED, timeout_s=st.integers(1, 20), on_deadline=st.sampled_from(["partial", "degrade", "fail"]))
    def submit_sound(self, asked: Asked, timeout_s: int, on_deadline: OnDeadline) -> None:
        self.submit(asked, Budget(timeout_s, on_deadline))

    @rule(prompt=TROUBLES, seeds=st.sampled_from([(0,), (0, 1)]))
    def submit_trouble(self, prompt: str, seeds: tuple[int, ...]) -> None:
        self.submit(Asked("troubled", prompt, "ddim", 3, 1.0, seeds), A_MINUTE)

    @rule()
    def submit_undecodable(self) -> None:
        self.submit(Asked("undecodable", "red", "ddim", 1, 1.0, (0,)), A_MINUTE)

    @rule(seeds=st.sampled_from([(0,), (0, 1, 2)]), guidance_scale=st.sampled_from([1.0, 4.0]))
    def submit_cramped(self, seeds: tuple[int, ...], guidance_scale: float) -> None:
        self.submit(Asked("cramped", "red", "ddim", 3, guidance_scale, seeds), A_MINUTE)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        _, state = data.draw(st.sampled_from(self.submitted))
        self.bench.engine.cancel(state)

    @rule(rows=st.integers(0, 2))
    def memory_changes(self, rows: int) -> None:
        self.cramped.rows = rows

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.bench.clock.advance(seconds)

    @precondition(lambda self: self.submitted)
    @rule(times=st.integers(1, 3))
    def tick(self, times: int) -> None:
        for _ in range(times):
            before = self.steps()
            self.bench.tick()
            assert all(after <= before.get(row, 0) + 1 for row, after in self.steps().items())

    def steps(self) -> dict[Row, int]:
        return {row: row.step_index for _, state in self.submitted for row in state.rows}

    def teardown(self) -> None:
        self.bench.run()
        assert self.answers == Counter(state.request_id for _, state in self.submitted)
        for asked, state in self.submitted:
            self.check(asked, state)
        self.bench.clock.advance(1000)
        assert self.bench.engine.stalled_s() == 0, "something is left in the engine"

    def check(self, asked: Asked, state: RequestState) -> None:
        """A picture is the request's own; a failure has its cause."""
        error = state.future.exception(0)
        if error is None and state.future.result(0).finish_reason == "completed":
            assert image_of(state) == picture(asked)
        elif error is None or isinstance(error, DeadlineExceeded):
            assert asked.rom_id == "slow" or self.bench.clock.now >= state.deadline
        elif isinstance(error, Cancelled):
            assert state.is_cancelled
        elif isinstance(error, OutOfRomMemory):
            assert asked.rom_id == "cramped"
        else:
            assert isinstance(error, BackendError)
            assert asked.rom_id != "sound"
        if asked.prompt in (TroubledBackend.UNENCODABLE, TroubledBackend.UNPREDICTABLE):
            assert error is not None


TestAnyDay = AnyDay.TestCase
TestAnyDay.settings = settings(
    max_examples=120, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
