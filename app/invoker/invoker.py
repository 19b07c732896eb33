"""Serving one request: route, lease, submit, wait, encode."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core import (
    GeneratedImage,
    GenerationRequest,
    GenerationResult,
    Health,
    Notice,
    RouteExplanation,
    Timings,
)
from app.estimates import Estimate
from app.health import HealthMonitor
from app.imaging import encode_within
from app.invoker.admission import Admission
from app.invoker.jobs import Job
from app.invoker.router import Router
from app.invoker.runner import Runner
from app.invoker.source import read_source
from app.invoker.supply import Supply
from app.logs import log_event
from app.metrics import Metrics

if TYPE_CHECKING:
    from app.engine.engine import Engine

_PIXEL_ENCODING_PRIOR_S = 1e-7
_TELLING_PIXELS = 256 * 256  # the time of fewer is mostly overhead, and says little about more of them
_CLOSING_S = 2.0  # for answers to leave, once the engine has stopped


@dataclass(frozen=True)
class InvokerLimits:
    max_queue_size: int  # requests accepted and not yet answered
    request_timeout_s: float
    max_image_bytes: int  # of all encoded images of one response


class Invoker:
    """One instance serves the whole process; `invoke` blocks its caller's thread."""

    def __init__(
        self,
        supply: Supply,
        engine: Future[Engine],
        router: Router,
        health: HealthMonitor,
        metrics: Metrics,
        limits: InvokerLimits,
    ) -> None:
        self.supply = supply
        self.catalog = supply.library.catalog
        self.cache = supply.cache
        self.router = router
        self._engine = engine
        self._pixel_encoding = Estimate(_PIXEL_ENCODING_PRIOR_S)
        self._runner = Runner(supply, engine, self._pixel_encoding)
        self._health = health
        self._metrics = metrics
        self.limits = limits
        self._admission = Admission(limits.max_queue_size, health, metrics)

    def invoke(self, job: Job) -> GenerationResult:
        """Answer one request. Raises a CartridgeError."""
        with self._admission.enter():
            return self._serve(job)

    def explain(self, request: GenerationRequest) -> RouteExplanation:
        """Which ROM would answer now, and why. Nothing is run. Raises a CartridgeError."""
        self._admission.require_ready()
        timeout_s, _ = self._timeout_s(request)
        source, _ = read_source(request.params)
        return self.router.explain(request, timeout_s, None if source is None else source.image)

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for the accepted ones; those that do not end in time fail with NotReady.

        True when all of them ended by themselves.
        """
        if self._health.become(Health.DRAINING, "the service is stopping"):
            log_event("draining")
        ended = self._admission.wait_until_empty(timeout_s)
        if self._engine.done() and self._engine.exception() is None:
            self._engine.result().close()
        if not ended:
            self._admission.wait_until_empty(_CLOSING_S)
        return ended

    def _serve(self, job: Job) -> GenerationResult:
        request = job.request
        timeout_s, notices = self._timeout_s(request)
        source, remarks = read_source(request.params)
        left_s, image = job.started_at + timeout_s - time.monotonic(), None if source is None else source.image
        decision = self.router.explain(request, left_s, image).decision
        made = self._runner.run(job, decision, job.started_at + timeout_s, source)
        result, timings = made.result, Timings()
        timings.load_s, timings.queue_s, timings.encode_s = made.load_s, result.queue_s, result.encode_s
        timings.denoise_s, timings.decode_s, timings.upscale_s = result.denoise_s, result.decode_s, result.upscale_s
        self._metrics.observe_queue_wait(made.decision.rom_id, result.queue_s)
        if made.params.upscaler is not None:
            self._metrics.observe_upscale(made.params.upscaler, result.upscale_s)
        started = time.monotonic()
        large = "num_images_per_prompt" if made.params.upscaler is None else "upscale"
        encoded = encode_within(made.images, request.output, self.limits.max_image_bytes, large)
        images = tuple(
            GeneratedImage(data, seed, pixels.shape[1], pixels.shape[0], encoded.mime_type, result.finish_reason)
            for data, seed, pixels in zip(encoded.data, made.params.seeds, made.images, strict=True)
        )
        timings.serialize_s = time.monotonic() - started
        pixels_encoded = sum(pixels.size // 3 for pixels in made.images)
        self._pixel_encoding.observe(timings.serialize_s / max(_TELLING_PIXELS, pixels_encoded))
        timings.total_s = time.monotonic() - job.started_at
        return GenerationResult(
            request_id=request.request_id,
            created=int(time.time()),
            images=images,
            effective=made.params,
            completed_steps=result.completed_steps,
            route=made.decision,
            timings=timings,
            notices=(*notices, *remarks, *decision.notices, *made.notices, *encoded.notices),
        )

    def _timeout_s(self, request: GenerationRequest) -> tuple[float, list[Notice]]:
        """Seconds that the request may take, never above the service's own."""
        allowed = self.limits.request_timeout_s
        if request.timeout_s is None or request.timeout_s <= allowed:
            return request.timeout_s or allowed, []
        return allowed, [Notice("changed", "timeout_s", f"{request.timeout_s:g} is above the service's {allowed:g}")]
