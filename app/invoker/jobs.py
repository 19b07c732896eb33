"""Requests by their id: who waits for each, and what a second request with the same id gets."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.core import GenerationRequest, GenerationResult
from app.errors import Cancelled, RequestConflict, UnknownRequest
from app.imaging import Pixels
from app.invoker.progress import PartialImages, Progress, Queued, StepDone

if TYPE_CHECKING:
    from app.engine.engine import Engine
    from app.engine.state import RequestState
    from app.engine.upscaling import UpscaleState

_KEPT_FOR_S = 120.0
_KEPT_BYTES = 64 * 1024 * 1024  # of finished answers
_ENTRY_BYTES = 4096  # that an answer takes besides its images and prompts


@dataclass(eq=False)
class Job:
    """One request on its way, and those who wait for it. Follows its request through the engine."""

    request: GenerationRequest
    started_at: float = field(default_factory=time.monotonic)
    future: Future[GenerationResult] = field(default_factory=Future)
    waiters: int = 0
    cancelled: Future[None] = field(default_factory=Future)  # ends when it is cancelled
    _followers: list[Callable[[Progress], None]] = field(default_factory=list)
    _queued: Queued | None = None
    _early: list[Progress] = field(default_factory=list)  # what the engine did before this was told that it accepted
    _running: tuple[Engine, RequestState | UpscaleState] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.future.set_running_or_notify_cancel()  # only `cancel` ends it early

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled.done()

    def follow(self, follower: Callable[[Progress], None]) -> None:
        """Tell `follower` of everything from here on, on whatever thread it happens; it must not wait."""
        with self._lock:
            self._followers.append(follower)
            if self._queued is not None:
                follower(self._queued)

    def cancel(self) -> None:
        """Let the engine drop it before its next step; its future raises Cancelled."""
        with self._lock:
            if self.is_cancelled:
                return
            running = self._running
            self.cancelled.set_result(None)
        if running is not None:
            engine, state = running
            engine.cancel(state)

    def accepted(self, engine: Engine, state: RequestState | UpscaleState) -> None:
        """The engine has it, with a plan."""
        predicted_s = state.plan.finish - state.submitted_at
        with self._lock:
            self._running = (engine, state)
            self._queued = Queued(self.request.request_id, state.plan.position, round(predicted_s, 3))
            for progress in (self._queued, *self._early):
                self._pass_on(progress)
        if self.is_cancelled:
            engine.cancel(state)

    def on_step(self, done: int, total: int) -> None:
        self._tell(StepDone(done, total, round(time.monotonic() - self.started_at, 4)))

    def on_preview(self, done: int, images: list[Pixels]) -> None:
        self._tell(PartialImages(done, tuple(images)))

    def previews(self, total: int) -> frozenset[int]:
        count = self.request.partial_images
        return frozenset(round(total * (index + 1) / (count + 1)) for index in range(count))

    def end(self) -> None:
        """Let go of the engine's state: a finished job may be kept for a while, its latents and its ROM may not."""
        with self._lock:
            self._running = None
            self._followers.clear()
            self._early.clear()

    def _tell(self, progress: Progress) -> None:
        with self._lock:
            if self._queued is None:
                self._early.append(progress)
            else:
                self._pass_on(progress)

    def _pass_on(self, progress: Progress) -> None:
        for follower in self._followers:
            follower(progress)


class Jobs:
    """A second request with a known id joins the first when it asks for the same, also for a while afterwards."""

    def __init__(
        self,
        serve: Callable[[Job], GenerationResult],
        workers: ThreadPoolExecutor,  # a thread for every request that waits
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._serve = serve
        self._workers = workers
        self._clock = clock
        self._jobs: dict[str, Job] = {}  # running
        self._finished: OrderedDict[str, tuple[float, int, Job]] = OrderedDict()  # until when, bytes; oldest first
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def begin(self, request: GenerationRequest) -> Job:
        """Start the request, or join the one that has its id. The caller must `leave` the job.

        Raises RequestConflict when the id belongs to a request for something else.
        """
        with self._lock:
            self._forget_old()
            job = self._known(request.request_id)
            if job is not None and job.request != request:
                raise RequestConflict(f"another request has the id {request.request_id!r}", param="request_id")
            if job is not None:
                job.waiters += 1
                return job
            job = Job(request, waiters=1)
            self._workers.submit(self._run, job)
            self._jobs[request.request_id] = job
            return job

    def leave(self, job: Job) -> None:
        """One who waited goes. A running job that nobody waits for is cancelled."""
        with self._lock:
            job.waiters -= 1
            abandoned = not job.waiters and not job.future.done()
            if abandoned:
                self._drop(job)
        if abandoned:
            job.cancel()

    def cancel(self, request_id: str) -> None:
        """Raises UnknownRequest unless it is running."""
        with self._lock:
            job = self._jobs.get(request_id)
            if job is None:
                raise UnknownRequest(f"no request {request_id!r} is running", param="request_id")
            self._drop(job)
        job.cancel()

    def _known(self, request_id: str) -> Job | None:
        if job := self._jobs.get(request_id):
            return job
        entry = self._finished.get(request_id)
        return entry[2] if entry else None

    def _drop(self, job: Job) -> None:
        """It runs no longer, or is about to end: its id can begin anew."""
        if self._jobs.get(job.request.request_id) is job:
            del self._jobs[job.request.request_id]

    def _run(self, job: Job) -> None:
        try:
            result = self._serve(job)
            self._keep(job, result)
        except BaseException as error:  # noqa: BLE001 - it belongs to those who wait
            with self._lock:
                self._drop(job)
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
        job.end()

    def _keep(self, job: Job, result: GenerationResult) -> None:
        """It has ended well. Raises Cancelled when it was cancelled before that."""
        request_id = job.request.request_id
        with self._lock:
            if self._jobs.get(request_id) is not job:
                raise Cancelled("cancelled after its last step")
            self._drop(job)
            if job.request.is_named:
                nbytes = _size_of(job.request, result)
                self._finished[request_id] = (self._clock() + _KEPT_FOR_S, nbytes, job)
                self._kept_bytes += nbytes
                self._forget_old()

    def _forget_old(self) -> None:
        while self._finished:
            request_id, (until, nbytes, _) = next(iter(self._finished.items()))
            if until > self._clock() and self._kept_bytes <= _KEPT_BYTES:
                break
            del self._finished[request_id]
            self._kept_bytes -= nbytes


def _size_of(request: GenerationRequest, result: GenerationResult) -> int:
    params = request.params
    texts = (*params.prompts, params.negative_prompt, params.image, params.mask_image)
    characters = 2 * sum(len(text) for text in texts if text is not None)  # prompts are in the result too
    return sum(len(image.data) for image in result.images) + characters + _ENTRY_BYTES
