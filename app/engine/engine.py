"""The engine: one thread that owns the device and takes all running requests forward, step by step."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch

from app.backends.base import Backend
from app.core import ResolvedParams
from app.engine.batch import StepOutput, run_step
from app.engine.batcher import Batcher
from app.engine.state import EngineResult, RequestState, Row, prepare
from app.errors import BackendError, CartridgeError, DeadlineExceeded, NotReady


class StepObserver(Protocol):
    def observe_step(self, rom_id: str, rows: int, seconds: float) -> None:
        """Called after every forward."""


class Engine:
    """Accepts requests from any thread; answers each exactly once, through its future."""

    def __init__(
        self, max_batch_size: int, observer: StepObserver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._batcher = Batcher(max_batch_size)
        self._observer = observer
        self._clock = clock
        self._arrivals: deque[RequestState] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(
        self, request_id: str, rom_id: str, params: ResolvedParams, backend: Backend, timeout_s: float
    ) -> RequestState:
        """Queue a request. Its future gives an EngineResult, or raises a CartridgeError."""
        now = self._clock()
        state = RequestState(request_id, rom_id, params, backend, now + timeout_s, now)
        with self._wake:
            if self._closed:
                raise NotReady("the service is stopping", retry_after_s=5)
            self._arrivals.append(state)
            self._wake.notify()
        return state

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop after the current step. Requests that are still unfinished fail with NotReady."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def tick(self) -> None:
        """Let arrivals in, let late rows out, and take one step."""
        self._admit()
        self._expire()
        if len(self._batcher):
            self.step()

    def step(self) -> None:
        """Take one batch one step forward."""
        rows = self._batcher.next_batch()
        output = self._forward(rows)
        if output is not None:
            for state in self._batcher.advance(rows, output):
                self._finish(state)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._arrivals or len(self._batcher))
                if self._closed:
                    break
            self.tick()
        for state in [*self._arrivals, *self._batcher.requests()]:
            state.future.set_exception(NotReady("the service stopped before this image was done", retry_after_s=5))

    def _admit(self) -> None:
        with self._wake:
            arrivals = list(self._arrivals)
            self._arrivals.clear()
        for state in arrivals:
            try:
                prepare(state, self._clock())
            except Exception as error:  # noqa: BLE001 - whatever a model raises becomes this request's answer
                self._fail(state, error)
            else:
                self._batcher.add(state)

    def _expire(self) -> None:
        now = self._clock()
        for state in self._batcher.requests():
            if now >= state.deadline:
                self._batcher.remove(state)
                done, steps = min(row.step_index for row in state.rows), len(state.table)
                state.future.set_exception(
                    DeadlineExceeded(f"the time budget passed after {done} of {steps} steps", param="timeout_s")
                )

    def _forward(self, rows: list[Row]) -> StepOutput | None:
        """One forward; when it throws, the requests in it fail and all others go on."""
        started = time.perf_counter()
        try:
            with torch.inference_mode():
                output = run_step(rows)
        except Exception as error:  # noqa: BLE001 - as above
            for state in dict.fromkeys(row.request for row in rows):
                self._batcher.remove(state)
                self._fail(state, error)
            return None
        self._observer.observe_step(rows[0].request.rom_id, len(rows), time.perf_counter() - started)
        return output

    def _finish(self, state: RequestState) -> None:
        denoised_at, started = self._clock(), time.perf_counter()
        try:
            pixels = state.backend.decode(torch.stack([row.latents for row in state.rows]))
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(state, error)
            return
        state.future.set_result(
            EngineResult(
                images=list(pixels),
                notices=tuple(state.notices),
                queue_s=state.started_at - state.submitted_at,
                encode_s=state.encode_s,
                denoise_s=denoised_at - state.started_at - state.encode_s,
                decode_s=time.perf_counter() - started,
            )
        )

    def _fail(self, state: RequestState, error: Exception) -> None:
        if isinstance(error, CartridgeError):
            state.future.set_exception(error)
            return
        answer = BackendError(f"ROM {state.rom_id!r} failed on this request: {type(error).__name__}: {error}"[:300])
        answer.__cause__ = error
        state.future.set_exception(answer)
