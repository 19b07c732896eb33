"""The engine: one thread that owns the device and takes all running requests forward, step by step."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from traceback import clear_frames

import torch

from app.backends.base import Backend, Guide
from app.backends.devices import free_bytes, return_memory
from app.backends.failures import Failure, classify
from app.core import Budget, ResolvedParams
from app.engine.answers import Answers
from app.engine.batch import StepOutput, run_step
from app.engine.batcher import Batcher, finished_by, requests_of
from app.engine.care import DeviceCare, StepObserver
from app.engine.costs import Costs
from app.engine.embeddings import PromptEncoder
from app.engine.outlook import Outlook, backlog_s
from app.engine.planner import Planner, Smaller
from app.engine.room import Room
from app.engine.smaller import smaller_versions
from app.engine.state import Listener, RequestState, Row, encode_prompts, latent_shape, lay_out_path, lay_out_rows
from app.engine.upscaling import UpscaleState, Upscaling, UpscalingCosts
from app.errors import NotReady
from app.imaging import Pixels, Source
from app.logs import log_event

_MAX_WAIT_TICKS = 8  # that a lane is passed over


class Engine:
    """Accepts requests from any thread; answers each exactly once, through its future."""

    def __init__(
        self,
        max_batch_size: int,
        observer: StepObserver,
        care: DeviceCare | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._costs = Costs(max_batch_size, free_bytes)
        self._upscaling_costs = UpscalingCosts()
        self._planner = Planner(_MAX_WAIT_TICKS)
        self._batcher = Batcher(_MAX_WAIT_TICKS)
        self._encoder = PromptEncoder()
        self._care = care or DeviceCare()
        self._room = Room(self._care.free_memory)
        self._answers = Answers(clock, self._care.report_lost, self._room, self._note_progress)
        self._observer = observer
        self._clock = clock
        self._arrivals: deque[RequestState | UpscaleState] = deque()
        self._accepted: dict[RequestState | UpscaleState, None] = {}  # and not answered yet
        self._progress_at = clock()
        self._busy_until = 0.0  # when the forward in progress is expected to end
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(
        self,
        request_id: str,
        rom_id: str,
        params: ResolvedParams,
        backend: Backend,
        budget: Budget,
        listener: Listener | None = None,
        source: Source | None = None,
        upscaling: Upscaling | None = None,
    ) -> RequestState:
        """Accept a request. Its future gives an EngineResult, or raises a CartridgeError.

        Raises Overloaded when it could not be answered inside its budget, or others no longer inside theirs, and
        InvalidRequest for a scheduler that cannot do what is asked.
        """
        path = lay_out_path(params, backend)
        with self._wake:
            now = self._clock()
            costs = self._costs.of(rom_id, backend.info, latent_shape(params, backend))
            if not self._accepted:
                costs.step.reconsider(now)
            state = RequestState(request_id, rom_id, params, path, backend, budget, costs, now, listener, source)
            if upscaling is not None:
                state.upscaling = upscaling
                state.upscale_costs = self._upscaling_costs.of(upscaling, params.height, params.width)
            self._accept(state, state.needed_steps, smaller_versions(state, self._costs))
        return state

    def submit_upscaling(
        self, request_id: str, upscaling: Upscaling, image: Pixels, guide: tuple[str, int], budget: Budget
    ) -> UpscaleState:
        """Accept an image to be enlarged; `guide` is a prompt and a seed. Its future and errors: see `submit`."""
        with self._wake:
            now = self._clock()
            costs = self._upscaling_costs.of(upscaling, *image.shape[:2])
            state = UpscaleState(request_id, upscaling, image, Guide(*guide), budget, costs, now)
            self._accept(state, 0)
        return state

    def cancel(self, state: RequestState | UpscaleState) -> None:
        """Let a request go before its next step; its future raises Cancelled."""
        with self._wake:
            state.is_cancelled = True
            self._wake.notify()

    def stalled_s(self) -> float:
        """How long the engine has had work and made no progress, in seconds. Never waits."""
        return self._clock() - self._progress_at if self._accepted else 0.0

    def outlook(self) -> Outlook:
        """What one more request has to expect."""
        with self._wake:
            demands, now = [state.demand() for state in self._accepted], self._clock()
            return Outlook(backlog_s(demands, self._busy_until, now, _MAX_WAIT_TICKS), self._costs.paces())

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop after the current step. Requests that are still unfinished fail with NotReady."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def tick(self) -> None:
        """Let arrivals in, let those go that must, and take one step."""
        self._admit()
        self._release()
        if len(self._batcher):
            self.step()
        self._progress_at = self._clock()

    def step(self) -> None:
        """Take one batch one step forward."""
        rows = self._batcher.next_batch()
        self._batcher.take_turn(rows)
        done = {state: state.completed_steps for state in requests_of(rows)}
        output = self._forward(rows)
        if output is None:
            return
        finished = self._batcher.advance(rows, output)
        self._progress_at = self._clock()
        for state, steps in done.items():
            if state.completed_steps > steps:
                self._answers.report(state)
        for state in finished:
            self._answers.finish(state)
            self._progress_at = self._clock()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._arrivals or len(self._batcher))
                if self._closed:
                    break
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001 - a fault of the engine itself: a new process is needed
                log_event("engine_failed", error=error)
                self._care.report_lost(f"the engine failed: {error!r}"[:300])
                break
        with self._wake:
            self._closed = True
        for state in list(self._accepted):
            state.future.set_exception(NotReady("the service stopped before this image was done", retry_after_s=5))

    def _accept(self, state: RequestState | UpscaleState, needed_steps: int, smaller: Iterable[Smaller] = ()) -> None:
        """Give it a plan and let it in. Raises Overloaded. The caller holds the lock."""
        if self._closed:
            raise NotReady("the service is stopping", retry_after_s=5)
        if not self._accepted:
            self._progress_at = state.submitted_at
        promises = {other.demand(): other.owed_steps for other in self._accepted}
        free_at = max(state.submitted_at, self._busy_until)
        state.plan = self._planner.plan(state.demand(), needed_steps, promises, free_at, smaller)
        state.future.add_done_callback(lambda _: self._forget(state))
        self._accepted[state] = None
        self._arrivals.append(state)
        self._wake.notify()

    def _note_progress(self) -> None:
        self._progress_at = self._clock()

    def _forget(self, state: RequestState | UpscaleState) -> None:
        with self._wake:
            self._accepted.pop(state, None)

    def _admit(self) -> None:
        """Prepare what has arrived."""
        with self._wake:
            arrivals = list(self._arrivals)
            self._arrivals.clear()
        for state in arrivals:
            if state.is_cancelled:
                self._answers.end_cancelled(state)
                continue
            if isinstance(state, UpscaleState):
                self._answers.upscale(state)
                continue
            try:
                self._prepare(state)
            except Exception as error:  # noqa: BLE001 - whatever a model raises becomes this request's answer
                self._answers.fail(state, error)
                continue
            self._batcher.add(state)
            self._progress_at = self._clock()

    def _prepare(self, state: RequestState) -> None:
        self._room.require(state)
        started, known = self._clock(), self._encoder.encoded
        encode_prompts(state, self._encoder)
        prompts_s, encoded = self._clock() - started, self._encoder.encoded - known
        lay_out_rows(state)
        state.encode_s = self._clock() - started
        if encoded:
            state.costs.encode.observe(prompts_s / encoded)
        if state.source_images:
            state.costs.encode_image.observe((state.encode_s - prompts_s) / state.source_images)

    def _release(self) -> None:
        """Let go who was cancelled, and who would be late if it took another step."""
        for state in self._batcher.requests():
            if state.is_cancelled:
                self._batcher.remove(state)
                self._answers.end_cancelled(state)
        while late := self._first_late():
            self._batcher.remove(late)
            late.is_leaving = True
            self._answers.end_late(late)
            self._progress_at = self._clock()

    def _first_late(self) -> RequestState | None:
        """The most urgent request, if after another step the time would not do to decode all that are due by then."""
        requests = self._batcher.requests()
        if not requests:
            return None
        rows = self._batcher.next_batch()
        step = rows[0].request.costs.step
        if len(requests) == 1 and not step.is_measured:  # and the only way to know is to let it go on
            return requests[0] if self._clock() > requests[0].deadline else None
        ready_at = self._clock() + step.upper_s(_size(rows))
        finishing = finished_by(rows)
        for state in sorted(requests, key=lambda state: state not in finishing):
            ready_at += state.decode_s + state.coming_preview_s
            if ready_at > state.deadline:
                return requests[0]
        return None

    def _forward(self, rows: list[Row]) -> StepOutput | None:
        """One forward; None when it failed."""
        size = _size(rows)
        started = self._clock()
        for row in rows:
            row.is_running = True
            row.request.started_at = min(row.request.started_at, started)
        self._busy_until = started + rows[0].request.costs.step.upper_s(size)
        try:
            with torch.inference_mode():
                output = run_step(rows)
        except Exception as error:  # noqa: BLE001 - as above
            self._recover(rows, size, error)
            return None
        finally:
            self._busy_until = 0.0
            for row in rows:
                row.is_running = False
        seconds = self._clock() - started
        rows[0].request.costs.observe_step(size, seconds, started)
        self._observer.observe_step(rows[0].request.rom_id, size, seconds)
        return output

    def _recover(self, rows: list[Row], size: int, error: Exception) -> None:
        """After a failed forward: make it smaller or make room when memory was short, or let its requests fail."""
        if classify(error) is Failure.OUT_OF_MEMORY:
            clear_frames(error.__traceback__)  # they hold what the forward had allocated
            return_memory()
            if len(rows) > 1:
                rows[0].request.costs.shrink(size)
                return
            if self._care.free_memory():
                return
        for state in requests_of(rows):
            self._batcher.remove(state)
            self._answers.fail(state, error)


def _size(rows: list[Row]) -> int:
    """Rows of the forward: an image whose step is guided takes two."""
    return sum(row.cost for row in rows)
