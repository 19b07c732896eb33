"""Requests by their id: who joins whom, who may cancel, and what is remembered."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.core import GenerationParams, GenerationRequest, GenerationResult
from app.errors import BackendError, Cancelled, CartridgeError, RequestConflict, UnknownRequest
from app.invoker.jobs import Job, Jobs
from tests.support.clock import FakeClock
from tests.support.loader import PATIENCE_S
from tests.support.results import make_result

ASKED = GenerationRequest("order-66", GenerationParams("a lighthouse"), is_named=True)
OTHER = replace(ASKED, params=GenerationParams("a windmill"))
MIB = 1024 * 1024


class Kitchen:
    """Serves jobs, each when the test says so."""

    def __init__(self, workers: ThreadPoolExecutor) -> None:
        self.clock = FakeClock()
        self.jobs = Jobs(self._serve, workers, self.clock)
        self.served = 0
        self.ready: queue.Queue[GenerationResult | CartridgeError] = queue.Queue()

    def _serve(self, job: Job) -> GenerationResult:
        self.served += 1
        outcome = self.ready.get(timeout=PATIENCE_S)
        if isinstance(outcome, CartridgeError):
            raise outcome
        return outcome

    def finish(self, job: Job, data: bytes = b"\x89PNG") -> GenerationResult:
        result = make_result(job.request, data)
        self.ready.put(result)
        assert job.future.result(PATIENCE_S) is result
        return result

    def fail(self, job: Job, error: CartridgeError) -> None:
        self.ready.put(error)
        assert job.future.exception(PATIENCE_S) is error

    def cook(self, request: GenerationRequest = ASKED, data: bytes = b"\x89PNG") -> Job:
        """A job from its beginning to its end."""
        job = self.jobs.begin(request)
        self.finish(job, data)
        self.jobs.leave(job)
        return job


@pytest.fixture
def kitchen() -> Iterator[Kitchen]:
    with ThreadPoolExecutor(8) as workers:
        kitchen = Kitchen(workers)
        yield kitchen
        for _ in range(8):
            kitchen.ready.put(Cancelled("the test is over"))


def test_the_same_request_joins_the_one_that_runs(kitchen: Kitchen) -> None:
    first, second = kitchen.jobs.begin(ASKED), kitchen.jobs.begin(replace(ASKED))
    assert first is second
    assert kitchen.finish(first) is second.future.result(PATIENCE_S)
    assert kitchen.served == 1


def test_another_request_with_its_id_is_refused_while_it_runs_and_afterwards(kitchen: Kitchen) -> None:
    job = kitchen.jobs.begin(ASKED)
    for _ in range(2):
        with pytest.raises(RequestConflict, match="order-66") as raised:
            kitchen.jobs.begin(OTHER)
        assert raised.value.param == "request_id"
        if not job.future.done():
            kitchen.finish(job)


@pytest.mark.parametrize("change", [{"model": "scenes"}, {"timeout_s": 5.0}, {"stream": True}, {"on_deadline": "fail"}])
def test_a_request_is_another_one_when_any_field_differs(kitchen: Kitchen, change: dict[str, object]) -> None:
    kitchen.cook()
    with pytest.raises(RequestConflict):
        kitchen.jobs.begin(replace(ASKED, **change))  # type: ignore[arg-type]


def test_a_finished_answer_is_given_again_for_two_minutes(kitchen: Kitchen) -> None:
    job = kitchen.cook()
    kitchen.clock.advance(119)
    assert kitchen.jobs.begin(ASKED) is job
    kitchen.clock.advance(2)
    again = kitchen.jobs.begin(ASKED)
    assert again is not job
    kitchen.finish(again)
    assert kitchen.served == 2


def test_an_id_that_the_caller_did_not_choose_is_not_remembered(kitchen: Kitchen) -> None:
    unnamed = replace(ASKED, is_named=False)
    assert kitchen.cook(unnamed) is not kitchen.cook(unnamed)


def test_the_oldest_answers_go_when_all_of_them_are_too_many_bytes(kitchen: Kitchen) -> None:
    requests = [replace(ASKED, request_id=f"order-{number}") for number in range(3)]
    jobs = [kitchen.cook(request, bytes(25 * MIB)) for request in requests]
    assert [kitchen.jobs.begin(request) is job for request, job in zip(requests, jobs, strict=True)][1:] == [True, True]
    assert kitchen.jobs.begin(requests[0]) is not jobs[0]


def test_an_error_is_not_remembered(kitchen: Kitchen) -> None:
    job = kitchen.jobs.begin(ASKED)
    kitchen.fail(job, BackendError("the model failed"))
    assert kitchen.cook(OTHER).future.result(PATIENCE_S)


def test_a_job_is_cancelled_when_the_last_who_waited_has_left(kitchen: Kitchen) -> None:
    job = kitchen.jobs.begin(ASKED)
    assert kitchen.jobs.begin(ASKED) is job
    kitchen.jobs.leave(job)
    assert not job.is_cancelled
    kitchen.jobs.leave(job)
    assert job.is_cancelled


def test_leaving_a_finished_job_leaves_its_answer(kitchen: Kitchen) -> None:
    job = kitchen.cook()
    assert not job.is_cancelled
    assert kitchen.jobs.begin(ASKED) is job


@pytest.mark.parametrize("by", ["its id", "its last waiter"])
def test_the_id_of_a_cancelled_job_can_begin_anew(kitchen: Kitchen, by: str) -> None:
    job = kitchen.jobs.begin(ASKED)
    if by == "its id":
        kitchen.jobs.cancel("order-66")
    else:
        kitchen.jobs.leave(job)
    again = kitchen.jobs.begin(OTHER)
    assert again is not job
    kitchen.ready.put(Cancelled("cancelled after 2 of 4 steps"))  # either may get it: they wait side by side
    kitchen.ready.put(Cancelled("cancelled after 2 of 4 steps"))
    assert isinstance(job.future.exception(PATIENCE_S), Cancelled)


def test_who_was_told_that_it_is_cancelled_gets_no_image_from_anyone_who_waits(kitchen: Kitchen) -> None:
    job = kitchen.jobs.begin(ASKED)
    kitchen.jobs.cancel("order-66")
    kitchen.ready.put(make_result(ASKED))
    assert isinstance(job.future.exception(PATIENCE_S), Cancelled)
    assert kitchen.jobs.begin(ASKED) is not job


def test_only_what_runs_can_be_cancelled(kitchen: Kitchen) -> None:
    kitchen.cook()
    for request_id in ("order-66", "order-67"):
        with pytest.raises(UnknownRequest, match=request_id):
            kitchen.jobs.cancel(request_id)
