"""Serving one request: route, lease, submit, wait, encode."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core import GeneratedImage, GenerationRequest, GenerationResult, Health, Notice, Timings
from app.errors import ManifestError, RomUnavailable
from app.health import HealthMonitor
from app.imaging import encode_within
from app.invoker.admission import Admission
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
        self._admission = Admission(limits.max_queue_size, health, metrics)

    def invoke(self, request: GenerationRequest) -> GenerationResult:
        """Answer one request. Raises a CartridgeError."""
        with self._admission.enter():
            return self._serve(request)

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for the accepted ones; those that do not end in time fail with NotReady.

        True when all of them ended by themselves.
        """
        self._health.become(Health.DRAINING, "the service is stopping")
        ended = self._admission.wait_until_empty(timeout_s)
        if self._engine.done() and self._engine.exception() is None:
            self._engine.result().close()
        if not ended:
            self._admission.wait_until_empty(_CLOSING_S)
        return ended

    def _serve(self, request: GenerationRequest) -> GenerationResult:
        arrived, timings = time.monotonic(), Timings()
        timeout_s, notices = self._budget(request)
        decision = route(request.model, self.catalog, self.cache.resident(), self.limits.default_rom)
        rom = self.catalog.get(decision.rom_id)
        with self._leased(rom, timeout_s) as backend:
            timings.load_s = time.monotonic() - arrived
            params, resolving = resolve(request.params, rom.manifest, defaults_of(backend))
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
        notices += [*resolving, *made.notices, *encoded.notices]
        created = int(time.time())
        return GenerationResult(request.request_id, created, images, params, decision, timings, tuple(notices))

    def _budget(self, request: GenerationRequest) -> tuple[float, list[Notice]]:
        """Seconds that the request may take, never above the service's own."""
        allowed = self.limits.request_timeout_s
        if request.timeout_s is None or request.timeout_s <= allowed:
            return request.timeout_s or allowed, []
        return allowed, [Notice("changed", "timeout_s", f"{request.timeout_s:g} is above the service's {allowed:g}")]

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
