"""Running one job on a ROM: lease, resolve, submit, wait. And what a `degrade` request falls back on."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.core import Budget, GenerationParams, Notice, ResolvedParams, RouteDecision
from app.errors import Cancelled, Overloaded
from app.estimates import Estimate
from app.imaging import Pixels, Source, resize
from app.invoker.jobs import Job
from app.invoker.lighter import lighter_versions
from app.invoker.resolve import ModelDefaults, resolve
from app.invoker.supply import Supply
from app.invoker.upscaling import check_alone, check_size, find_upscaler, leased, resolve_upscaling, upscaling_by
from app.roms.catalog import Rom
from app.roms.manifest import Preset

if TYPE_CHECKING:
    from app.backends.base import Backend
    from app.engine.engine import Engine
    from app.engine.state import EngineResult, RequestState
    from app.engine.upscaling import Upscaling

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
    def __init__(self, supply: Supply, engine: Future[Engine], pixel_encoding: Estimate) -> None:
        self._supply = supply
        self._catalog = supply.library.catalog
        self._engine = engine  # set before the service is ready: torch is imported while it already listens
        self._pixel_encoding = pixel_encoding  # what compressing takes, a pixel

    def run(self, job: Job, decision: RouteDecision, deadline: float, source: Source | None = None) -> Made:
        """On the chosen ROM; where that has no time and the request allows it, on its faster twin.

        `deadline` is on the monotonic clock. Raises a CartridgeError.
        """
        rom, cache, started = self._catalog.get(decision.rom_id), self._supply.cache, time.monotonic()
        if rom.is_upscaler:
            return self._enlarge(rom, job, decision, source, deadline)
        upscaler = find_upscaler(job.request.params, self._catalog, cache.resident())
        with leased(upscaler, rom, job, self._supply, deadline) as upscaling:
            lease_s = time.monotonic() - started
            made = self._run_or_degrade(rom, job, decision, source, upscaling, deadline)
        return replace(made, load_s=made.load_s + lease_s)

    def _run_or_degrade(
        self,
        rom: Rom,
        job: Job,
        decision: RouteDecision,
        source: Source | None,
        upscaling: Upscaling | None,
        deadline: float,
    ) -> Made:
        params = job.request.params
        try:
            return self._run_on(rom, job, decision, params, source, upscaling, deadline)
        except Overloaded:
            twin = self._twin(rom, job)
            if twin is None:
                raise
        resident = twin.id in self._supply.cache.resident()
        reason = f"the faster twin of {rom.id!r}, which had no time left"
        decision = replace(decision, rom_id=twin.id, reason=reason, resident=resident)
        if twin.manifest.preset(params.preset) is None:
            params = replace(params, preset="default")
        made = self._run_on(twin, job, decision, params, source, upscaling, deadline)
        return replace(made, notices=(*made.notices, Notice("degraded", "model", f"{twin.id!r} is {reason}")))

    def _run_on(
        self,
        rom: Rom,
        job: Job,
        decision: RouteDecision,
        params: GenerationParams,
        source: Source | None,
        upscaling: Upscaling | None,
        deadline: float,
    ) -> Made:
        started = time.monotonic()
        with self._supply.lease(rom, job, deadline) as backend:
            load_s = time.monotonic() - started
            asked, notices = resolve(params, rom.manifest, defaults_of(backend), source)
            if upscaling is not None:
                check_size(upscaling, asked.width, asked.height)
                asked = replace(asked, upscale=upscaling.factor, upscaler=upscaling.rom_id)
            state, changes = self._submit(rom, job, asked, source, backend, upscaling, deadline)
            job.accepted(self._engine.result(), state)
            result = state.future.result()  # the engine answers every request inside its budget
        images = result.images
        if (state.params.width, state.params.height) != (asked.width, asked.height):
            images = [resize(pixels, asked.width * asked.upscale, asked.height * asked.upscale) for pixels in images]
        return Made(decision, state.params, result, images, (*notices, *changes, *result.notices), load_s)

    def _enlarge(self, rom: Rom, job: Job, decision: RouteDecision, source: Source | None, deadline: float) -> Made:
        """The image that came along, by an upscaler that was asked for as the model."""
        request, started = job.request, time.monotonic()
        factor = check_alone(request.params, rom, source)
        assert source is not None
        height, width, _ = source.image.shape
        with self._supply.lease_upscaler(rom, job, deadline) as model:
            load_s = time.monotonic() - started
            upscaling = upscaling_by(rom, model, factor)
            params, notices = resolve_upscaling(request.params, rom, upscaling, width, height)
            if job.is_cancelled:
                raise Cancelled("cancelled before it was enlarged")
            answer_by = self._answer_by(params, deadline)
            budget = Budget(answer_by - time.monotonic(), request.on_deadline)
            engine, guide = self._engine.result(), (params.prompts[0], params.seeds[0])
            state = engine.submit_upscaling(request.request_id, upscaling, source.image, guide, budget)
            job.accepted(engine, state)
            result = state.future.result()
        return Made(decision, params, result, result.images, tuple(notices), load_s)

    def _answer_by(self, params: ResolvedParams, deadline: float) -> float:
        """When the engine must be done, so that there is time left to write the body and send it."""
        pixels = params.width * params.height * params.upscale**2 * len(params.seeds)
        return deadline - _SENDING_S - self._pixel_encoding.upper_s * pixels

    def _submit(
        self,
        rom: Rom,
        job: Job,
        asked: ResolvedParams,
        source: Source | None,
        backend: Backend,
        upscaling: Upscaling | None,
        deadline: float,
    ) -> tuple[RequestState, list[Notice]]:
        """Hand it to the engine as asked or, for `degrade`, in the first lighter version that has the time."""
        engine, request = self._engine.result(), job.request
        preset = rom.manifest.preset(asked.preset) or Preset()
        answer_by = self._answer_by(asked, deadline)

        def submit(params: ResolvedParams) -> RequestState:
            if job.is_cancelled:
                raise Cancelled("cancelled before its first step")
            budget = Budget(answer_by - time.monotonic(), request.on_deadline, preset.partial_share)
            return engine.submit(request.request_id, rom.id, params, backend, budget, job, source, upscaling)

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
        preset = rom.manifest.preset(request.params.preset)
        if request.on_deadline != "degrade" or preset is None or preset.twin is None or "twin" not in preset.degrade:
            return None
        twin = self._catalog.roms.get(preset.twin)
        return twin if twin is not None and twin.makes_images else None


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
