"""What followers of a job are told, and what a job holds when it is over."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.backends.fake import FakeBackend
from app.core import GenerationParams, GenerationRequest, GenerationResult
from app.invoker.jobs import Job, Jobs
from app.invoker.progress import PartialImages, Progress, Queued, StepDone
from tests.support.bench import Bench
from tests.support.loader import PATIENCE_S
from tests.support.results import make_result

ASKED = GenerationRequest("order-66", GenerationParams("a lighthouse"), is_named=True)


def followed(job: Job) -> list[Progress]:
    """What `job` tells, as it comes in."""
    told: list[Progress] = []
    job.follow(told.append)
    return told


def kinds(told: list[Progress]) -> list[type[Progress]]:
    return [type(progress) for progress in told]


def test_steps_and_previews_are_told_in_their_order() -> None:
    bench, job = Bench(), Job(GenerationRequest("r1", GenerationParams("a lighthouse"), partial_images=1))
    told = followed(job)
    job.accepted(bench.engine, bench.submit(FakeBackend(), listener=job, seeds=(7, 8)))
    bench.run()
    assert kinds(told) == [Queued, StepDone, StepDone, PartialImages, StepDone, StepDone]
    steps = [progress for progress in told if isinstance(progress, StepDone)]
    assert [(progress.step, progress.steps) for progress in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [progress.elapsed_s for progress in steps] == sorted(progress.elapsed_s for progress in steps)
    (previews,) = (progress for progress in told if isinstance(progress, PartialImages))
    assert (previews.step, len(previews.images)) == (2, 2)


def test_acceptance_comes_first_also_when_the_engine_is_faster_than_its_news() -> None:
    bench, job = Bench(), Job(ASKED)
    told = followed(job)
    state = bench.submit(FakeBackend(), listener=job)
    bench.tick(2)
    assert told == []
    job.accepted(bench.engine, state)
    bench.run()
    assert kinds(told) == [Queued, StepDone, StepDone, StepDone, StepDone]


def test_who_comes_later_is_told_that_it_was_accepted_and_what_follows() -> None:
    bench, job = Bench(), Job(ASKED)
    job.accepted(bench.engine, bench.submit(FakeBackend(), listener=job))
    bench.tick(3)
    told = followed(job)
    bench.run()
    assert kinds(told) == [Queued, StepDone]


def test_acceptance_tells_how_many_are_due_before_it() -> None:
    bench, job = Bench(), Job(ASKED)
    bench.submit(FakeBackend())
    bench.clock.advance(1)
    told = followed(job)
    job.accepted(bench.engine, bench.submit(FakeBackend(), listener=job))
    (queued,) = told
    assert isinstance(queued, Queued)
    assert (queued.request_id, queued.position) == ("order-66", 1)
    assert queued.predicted_s >= 0


@pytest.mark.parametrize(
    ("total", "count", "steps"),
    [(20, 0, []), (20, 1, [10]), (20, 3, [5, 10, 15]), (4, 16, [1, 2, 3]), (1, 16, [])],
)
def test_previews_are_spread_over_the_steps_and_never_come_with_the_last(
    total: int, count: int, steps: list[int]
) -> None:
    bench, job = Bench(), Job(GenerationRequest("r1", GenerationParams("a lighthouse"), partial_images=count))
    told = followed(job)
    job.accepted(bench.engine, bench.submit(FakeBackend(), listener=job, num_inference_steps=total))
    bench.run()
    assert [progress.step for progress in told if isinstance(progress, PartialImages)] == steps


def test_a_job_cancelled_before_it_was_accepted_takes_no_step() -> None:
    bench, job = Bench(), Job(ASKED)
    state = bench.submit(FakeBackend(), listener=job)
    job.cancel()
    job.accepted(bench.engine, state)
    bench.run()
    assert bench.log.rows == []
    assert "0 of 4" in str(state.future.exception())


def test_an_answer_that_is_kept_holds_neither_latents_nor_rom() -> None:
    bench, roms = Bench(), [FakeBackend()]
    held: list[weakref.ref[object]] = [weakref.ref(roms[0])]

    def serve(job: Job) -> GenerationResult:
        state = bench.submit(roms.pop(), listener=job)
        held.append(weakref.ref(state))
        job.accepted(bench.engine, state)
        bench.run()
        bench.states.clear()
        return make_result(job.request)

    with ThreadPoolExecutor(1) as workers:
        jobs = Jobs(serve, workers)
        job = jobs.begin(ASKED)
        assert job.future.result(PATIENCE_S)
    gc.collect()
    assert [reference() for reference in held] == [None, None]
    assert jobs.begin(ASKED) is job
