"""A ROM that cannot be loaded inside a request's budget."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from app.core import GenerationParams, GenerationRequest, RouteDecision
from app.engine.engine import Engine
from app.errors import NotReady
from app.estimates import Estimate
from app.invoker.jobs import Job
from app.invoker.runner import Runner
from app.invoker.supply import Supply
from deploy.running import wait_until
from tests.support.bench import StepLog
from tests.support.loader import PATIENCE_S, Loader, library_of
from tests.support.roms import make_rom

HUGE = make_rom("huge", 10**13)


def test_is_refused_at_once_and_loads_for_the_next_request() -> None:
    loader, engine = Loader(), Engine(4, StepLog())
    cache = loader.cache(10**14)
    started: Future[Engine] = Future()
    started.set_result(engine)
    runner = Runner(Supply(library_of(HUGE), cache), started, Estimate(0.0))
    job = Job(GenerationRequest("a", GenerationParams("a lighthouse"), "huge"))
    with pytest.raises(NotReady, match="is being loaded") as raised:
        runner.run(job, RouteDecision("huge", {"huge": 1.0}, "named by the request", False), job.started_at + 10)
    assert raised.value.retry_after_s == pytest.approx(cache_prior_s(HUGE.num_parameters))
    wait_until(lambda: cache.resident() == ["huge"], PATIENCE_S)
    assert cache.expected_load_s(HUGE) == 0


def cache_prior_s(nbytes: int) -> float:
    """Half as much again as a gigabyte a second."""
    return 1.5 * nbytes / 1e9
