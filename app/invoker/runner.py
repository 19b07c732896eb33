"""Running one job on a ROM: lease, resolve, submit, wait. And what a `degrade` request falls back on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.core import Budget, GenerationParams, Notice, ResolvedParams, RouteDecision
from app.errors import Cancelled, DeadlineExceeded, ManifestError, NotReady, Overloaded, RomUnavailable
from app.estimates import Estimate
from app.imaging import Pixels, Source, resize
from app.invoker.jobs import Job
from app.invoker.lighter import lighter_versions
from app.invoker.resolve import ModelDefaults, resolve
from app.roms.catalog import Catalog, Rom
from app.roms.manifest import Preset

if TYPE_CHECKING:
    from app.backends.base import Backend
    from app.engine.engine import Engine
    from app.engine.state import EngineResult, RequestState
    from app.model_cache import ModelCache

_SENDING_S = 0.02  # to write the body and send it


@dataclass(frozen=True)
class Made:
    """What the engine made, on which ROM and of what."""

    decision: RouteDecision
    params: ResolvedParams
    result: EngineResult
    images: list[Pixels]  # in the size that was asked for
    notices: tuple[Notice, ...]
    load_s: float


class Runner:
    def __init__(self, catalog: Catalog, cache: ModelCache, engine: Future[Engine], pixel_encoding: Estimate) -> None:
        self._catalog = catalog
        self._cache = cache
        self._engine = engine  # set before the service is ready: torch is imported while it already listens
        self._pixel_encoding = pixel_encoding  # what compressing takes, a pixel

    def run(self, job: Job, decision: RouteDecision, deadline: float, source: Source | None = None) -> Made:
        """On the chosen ROM; where that has no time and the request allows it, on its faster twin.

        `deadline` is on the monotonic clock. Raises a CartridgeError.
        """
        rom = self._catalog.get(decision.rom_id)
        try:
            return self._run_on(rom, job, decision, job.request.params, source, deadline)
        except Overloaded:
            twin = self._twin(rom, job)
            if twin is None:
                raise
        resident = twin.id in self._cache.resident()
        reason = f"the faster twin of {rom.id!r}, which had no time left"
        decision = replace(decision, rom_id=twin.id, reason=reason, resident=resident)
        params = job.request.params
        if params.preset not in twin.manifest.presets:
            params = replace(params, preset="default")
        made = self._run_on(twin, job, decision, params, source, deadline)
        return replace(made, notices=(*made.notices, Notice("degraded", "model", f"{twin.id!r} is {reason}")))

    def _run_on(
        self,
        rom: Rom,
        job: Job,
        decision: RouteDecision,
        params: GenerationParams,
        source: Source | None,
        deadline: float,
    ) -> Made:
        started = time.monotonic()
        self._check_load(rom, deadline - started)
        with self._leased(rom, deadline - started) as backend:
            load_s = time.monotonic() - started
            asked, notices = resolve(params, rom.manifest, defaults_of(backend), source)
            state, changes = self._submit(rom, job, asked, source, backend, deadline)
            job.accepted(self._engine.result(), state)
            result = state.future.result()  # the engine answers every request inside its budget
        images = result.images
        if (state.params.width, state.params.height) != (asked.width, asked.height):
            images = [resize(pixels, asked.width, asked.height) for pixels in images]
        return Made(decision, state.params, result, images, (*notices, *changes, *result.notices), load_s)

    def _check_load(self, rom: Rom, timeout_s: float) -> None:
        """Raises NotReady at once where loading would take all the time there is; it goes on for the next request."""
        if timeout_s <= 0:
            raise DeadlineExceeded("no time was left when its turn came")
        load_s = self._cache.expected_load_s(rom)
        if load_s > timeout_s:
            self._cache.prefetch(rom)
            reason = f"ROM {rom.id!r} is being loaded, which takes {load_s:.1f} s; {timeout_s:.1f} s are left"
            raise NotReady(reason, retry_after_s=load_s)

    def _submit(
        self, rom: Rom, job: Job, asked: ResolvedParams, source: Source | None, backend: Backend, deadline: float
    ) -> tuple[RequestState, list[Notice]]:
        """Hand it to the engine as asked or, for `degrade`, in the first lighter version that has the time."""
        engine, request = self._engine.result(), job.request
        preset = rom.manifest.presets[asked.preset]
        pixels = asked.width * asked.height * len(asked.seeds)
        answer_by = deadline - _SENDING_S - self._pixel_encoding.upper_s * pixels

        def submit(params: ResolvedParams) -> RequestState:
            if job.is_cancelled:
                raise Cancelled("cancelled before its first step")
            budget = Budget(answer_by - time.monotonic(), request.on_deadline, preset.partial_share)
            return engine.submit(request.request_id, rom.id, params, backend, budget, job, source)

        try:
            return submit(asked), []
        except Overloaded as refusal:
            if request.on_deadline != "degrade":
                raise
            for params, notice in lighter_versions(asked, refusal, preset, backend.info.vae_scale_factor):
                try:
                    return submit(params), [notice]
                except Overloaded:
                    continue
            raise

    def _twin(self, rom: Rom, job: Job) -> Rom | None:
        request = job.request
        preset: Preset | None = rom.manifest.presets.get(request.params.preset)
        if request.on_deadline != "degrade" or preset is None or preset.twin is None or "twin" not in preset.degrade:
            return None
        return self._catalog.roms.get(preset.twin)

    @contextmanager
    def _leased(self, rom: Rom, timeout_s: float) -> Iterator[Backend]:
        """A lease; a ROM whose files turn out to be broken is quarantined."""
        try:
            with self._cache.lease(rom, timeout_s) as backend:
                yield backend
        except ManifestError as error:
            self._catalog.quarantine(rom.id, error.message)
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
        is_inpainting=info.is_inpainting,
        decoders=info.decoders,
    )
