"""The engine on its own thread, with callers on theirs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.core import Budget
from app.engine.engine import Engine
from app.engine.state import EngineResult
from app.errors import BackendError, NotReady
from tests.support.backends import GatedBackend, TroubledBackend
from tests.support.bench import StepLog, alone
from tests.support.params import make_params

CALLERS = 8
PATIENCE_S = 120.0  # only a test that fails, or a machine that starves it, waits this long
BUDGET = Budget(PATIENCE_S)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(4, StepLog())
    engine.start()
    yield engine
    engine.close()


def ask(engine: Engine, backend: Backend, prompt: str, seed: int = 7, steps: int = 4) -> EngineResult:
    params = make_params(prompt=prompt, seeds=(seed,), num_inference_steps=steps)
    return engine.submit(prompt, "rom", params, backend, BUDGET).future.result(PATIENCE_S)


def test_concurrent_callers_each_get_their_own_picture(engine: Engine) -> None:
    backend, barrier = FakeBackend(), Barrier(CALLERS)

    def call(index: int) -> bytes:
        barrier.wait(PATIENCE_S)
        return ask(engine, backend, f"prompt {index}", seed=index, steps=3 + index).images[0].tobytes()

    with ThreadPoolExecutor(CALLERS) as callers:
        pictures = list(callers.map(call, range(CALLERS)))
    expected = [
        alone(backend, prompt=f"prompt {index}", seeds=(index,), num_inference_steps=3 + index).future.result(0)
        for index in range(CALLERS)
    ]
    assert pictures == [result.images[0].tobytes() for result in expected]


def test_idle_engine_wakes_for_the_next_request(engine: Engine) -> None:
    backend = FakeBackend()
    first, second = ask(engine, backend, "first"), ask(engine, backend, "second")
    assert first.images[0].tobytes() != second.images[0].tobytes()


def test_thread_outlives_a_failure(engine: Engine) -> None:
    backend = TroubledBackend()
    for broken in (TroubledBackend.UNENCODABLE, TroubledBackend.UNPREDICTABLE):
        with pytest.raises(BackendError):
            ask(engine, backend, broken)
    assert ask(engine, backend, "sound").images


def test_closing_answers_the_unfinished_with_not_ready() -> None:
    engine, backend = Engine(1, StepLog()), GatedBackend()
    engine.start()
    running, waiting = (engine.submit(name, "rom", make_params(), backend, BUDGET) for name in ("a", "b"))
    assert backend.entered.wait(PATIENCE_S)
    arriving = engine.submit("c", "rom", make_params(), backend, BUDGET)
    engine.close(timeout_s=0)
    backend.gate.set()
    for state in (running, waiting, arriving):
        with pytest.raises(NotReady):
            state.future.result(PATIENCE_S)
    with pytest.raises(NotReady):
        engine.submit("d", "rom", make_params(), backend, BUDGET)


def test_request_whose_last_step_runs_while_closing_still_gets_its_image() -> None:
    engine, backend = Engine(1, StepLog()), GatedBackend()
    engine.start()
    state = engine.submit("a", "rom", make_params(num_inference_steps=1), backend, BUDGET)
    assert backend.entered.wait(PATIENCE_S)
    engine.close(timeout_s=0)
    backend.gate.set()
    assert state.future.result(PATIENCE_S).images
