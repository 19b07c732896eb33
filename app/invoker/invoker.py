"""Serving one request: route, lease, submit, wait, encode."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core import GeneratedImage, GenerationRequest, GenerationResult, Health, Timings
from app.errors import ManifestError, NotReady, Overloaded, RomUnavailable
from app.health import HealthMonitor
from app.imaging import encode_within
from app.invoker.resolve import ModelDefaults, resolve
from app.invoker.router import route
from app.metrics import Metrics
from app.roms.catalog import Catalog, Rom

if TYPE_CHECKING:
    from app.backends.base import Backend
    from app.engine.engine import Engine
    from app.model_cache import ModelCache

_CLOSING_S = 2.0  # for answers to leave, once the engine has stopped


@dataclass(frozen=True)
class InvokerLimits:
    max_queue_size: int  # requests accepted and not yet answered
    request_timeout_s: float
    max_image_bytes: int  # of all encoded images of one response
    default_rom: str | None


class Invoker:
    """One instance serves the whole process; `invoke` blocks its caller's thread."""

    def __init__(
        self,
        catalog: Catalog,
        cache: ModelCache,
        engine: Future[Engine],
        health: HealthMonitor,
        metrics: Metrics,
        limits: InvokerLimits,
    ) -> None:
        self.catalog = catalog
        self.cache = cache
        self._engine = engine  # set before the service is ready: torch is imported while it already listens
        self._health = health
        self._metrics = metrics
        self.limits = limits
        self._in_flight = 0
        self._changed = threading.Condition()

    def invoke(self, request: GenerationRequest) -> GenerationResult:
        """Answer one request. Raises a CartridgeError."""
        with self._admitted():
            return self._serve(request)

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for the accepted ones; those that do not end in time fail with NotReady.

        True when all of them ended by themselves.
        """
        self._health.become(Health.DRAINING, "the service is stopping")
        ended = self._wait_until_idle(timeout_s)
        if self._engine.done() and self._engine.exception() is None:
            self._engine.result().close()
        if not ended:
            self._wait_until_idle(_CLOSING_S)
        return ended

    def _wait_until_idle(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._in_flight == 0, timeout_s)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        health, reason = self._health.read()
        if health is not Health.READY:
            raise NotReady(reason, retry_after_s=5)
        with self._changed:
            if self._in_flight >= self.limits.max_queue_size:
                raise Overloaded(f"{self._in_flight} requests are waiting, which is the limit", retry_after_s=5)
            self._in_flight += 1
            self._metrics.queue_depth.set(self._in_flight)
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._metrics.queue_depth.set(self._in_flight)
                self._changed.notify_all()

    def _serve(self, request: GenerationRequest) -> GenerationResult:
        arrived = time.monotonic()
        timeout_s = min(request.timeout_s or self.limits.request_timeout_s, self.limits.request_timeout_s)
        decision = route(request.model, self.catalog, self.cache.resident(), self.limits.default_rom)
        rom = self.catalog.get(decision.rom_id)
        timings = Timings()
        with self._leased(rom, timeout_s) as backend:
            timings.load_s = time.monotonic() - arrived
            params, notices = resolve(request.params, rom.manifest, defaults_of(backend))
            remaining_s = timeout_s - timings.load_s
            state = self._engine.result().submit(request.request_id, rom.id, params, backend, remaining_s)
            made = state.future.result()  # the engine answers every request, at the latest a step past its deadline
        timings.queue_s, timings.encode_s = made.queue_s, made.encode_s
        timings.denoise_s, timings.decode_s = made.denoise_s, made.decode_s
        self._metrics.observe_queue_wait(rom.id, made.queue_s)
        started = time.monotonic()
        encoded = encode_within(made.images, request.output, self.limits.max_image_bytes)
        images = tuple(
            GeneratedImage(data, seed, params.width, params.height, encoded.mime_type)
            for data, seed in zip(encoded.data, params.seeds, strict=True)
        )
        timings.serialize_s = time.monotonic() - started
        timings.total_s = time.monotonic() - arrived
        all_notices = (*request.notices, *notices, *made.notices, *encoded.notices)
        return GenerationResult(request.request_id, int(time.time()), images, params, decision, timings, all_notices)

    @contextmanager
    def _leased(self, rom: Rom, timeout_s: float) -> Iterator[Backend]:
        """A lease; a ROM whose files turn out to be broken is quarantined."""
        try:
            with self.cache.lease(rom, timeout_s) as backend:
                yield backend
        except ManifestError as error:
            self.catalog.quarantine(rom.id, error.message)
            raise RomUnavailable(f"ROM {rom.id!r} is out of service: {error.message}", param="model") from error


def defaults_of(backend: Backend) -> ModelDefaults:
    """What `resolve` needs to know of a loaded model."""
    info = backend.info
    return ModelDefaults(
        size=info.default_size,
        size_multiple=info.vae_scale_factor,
        scheduler=info.default_scheduler,
        unoffered_scheduler=info.unoffered_scheduler,
        num_train_timesteps=info.noise_schedule.num_train_timesteps,
    )
