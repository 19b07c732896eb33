"""The one way out: every accepted request leaves the engine through here, with a result or an error."""

from __future__ import annotations

from collections.abc import Callable

import torch

from app.backends.base import Guide
from app.backends.failures import Failure, classify
from app.core import FinishReason
from app.engine.costs import LaneCosts
from app.engine.enlarging import enlarge
from app.engine.pictures import decode_images
from app.engine.previews import Previews
from app.engine.room import Room
from app.engine.state import EngineResult, RequestState
from app.engine.upscaling import UpscaleState, Upscaling
from app.errors import BackendError, Cancelled, CartridgeError, DeadlineExceeded, OutOfRomMemory
from app.imaging import Pixels
from app.logs import log_event


class Answers:
    def __init__(
        self,
        clock: Callable[[], float],
        report_lost: Callable[[str], object],
        room: Room,
        on_progress: Callable[[], object] = bool,  # called between the pieces of what takes long
    ) -> None:
        self._clock = clock
        self._on_progress = on_progress
        self._report_lost = report_lost
        self._room = room
        self._previews = Previews()

    def finish(self, state: RequestState, reason: FinishReason = "completed") -> None:
        """Decode what the request has come to: its latents, or at a deadline the clean image it was heading for.

        Enlarge it where that was asked.
        """
        started = self._clock()
        latents = torch.stack([row.latents if row.is_done else row.estimate for row in state.rows])
        try:
            with torch.inference_mode():
                images, notices = decode_images(state.backend, latents, state.params.decoder, self._room)
            decode_s = self._clock() - started
            pictures = self._enlarge_all(state, images)
        except Exception as error:  # noqa: BLE001 - whatever a model raises becomes this request's answer
            self.fail(state, error)
            return
        state.costs.decode[state.params.decoder].observe(decode_s / len(latents))
        state.future.set_result(
            EngineResult(
                images=pictures,
                finish_reason=reason,
                completed_steps=state.completed_steps,
                notices=(*state.notices, *notices),
                queue_s=state.started_at - state.submitted_at - state.encode_s,
                encode_s=state.encode_s,
                denoise_s=started - state.started_at,
                decode_s=decode_s,
                upscale_s=0.0 if state.upscaling is None else self._clock() - started - decode_s,
            )
        )
        self._learn_colours(state, latents, images)

    @torch.inference_mode()
    def _learn_colours(self, state: RequestState, latents: torch.Tensor, images: list[Pixels]) -> None:
        """For previews to come, once the answer is out: it neither waits for this nor fails by it."""
        if "tiny" in state.backend.info.decoders:
            return
        try:
            self._previews.learn(state.rom_id, latents, images)
        except Exception as error:  # noqa: BLE001 - the picture itself is there
            log_event("report_failed", request_id=state.request_id, error=error)

    def upscale(self, state: UpscaleState) -> None:
        """Enlarge the image that came along."""
        started = self._clock()
        if started > state.deadline:
            state.future.set_exception(DeadlineExceeded("the time budget passed before its turn", param="timeout_s"))
            return
        try:
            images = [self._enlarge(state, state.upscaling, state.image, state.guide, state.costs)]
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(state, error)
            return
        queue_s, upscale_s = started - state.submitted_at, self._clock() - started
        result = EngineResult(images, "completed", 0, (), queue_s, 0.0, 0.0, 0.0, upscale_s)
        state.future.set_result(result)

    def end_late(self, state: RequestState) -> None:
        """Its time is up: the estimate so far, unless it is to be whole or nothing, or there is nothing yet."""
        if state.completed_steps and state.budget.on_deadline != "fail":
            self.finish(state, "deadline")
            return
        done, total = state.completed_steps, len(state.path)
        reason = f"the time budget passed after {done} of {total} steps"
        state.future.set_exception(DeadlineExceeded(reason, param="timeout_s"))

    def end_cancelled(self, state: RequestState | UpscaleState) -> None:
        if isinstance(state, UpscaleState):
            state.future.set_exception(Cancelled("cancelled before it was enlarged"))
            return
        done, total = state.completed_steps, len(state.path)
        state.future.set_exception(Cancelled(f"cancelled after {done} of {total} steps"))

    def fail(self, state: RequestState | UpscaleState, error: Exception) -> None:
        if isinstance(error, CartridgeError):
            state.future.set_exception(error)
            return
        failure = classify(error)
        if failure is Failure.OUT_OF_MEMORY:
            answer: CartridgeError = _out_of_memory(state)
        else:
            log_event("backend_failed", error=error, request_id=state.request_id, rom=state.rom_id)
            message = f"ROM {state.rom_id!r} failed on this request: {type(error).__name__}: {error}"
            answer = BackendError(message[:300])
        if failure is Failure.DEVICE_LOST:
            self._report_lost(f"{type(error).__name__}: {error}"[:300])
        answer.__cause__ = error
        state.future.set_exception(answer)

    def report(self, state: RequestState) -> None:
        """Tell the request's listener of its last step, with a preview where one is wanted."""
        if (listener := state.listener) is None:
            return
        done, total = state.completed_steps, len(state.path)
        try:
            listener.on_step(done, total)
            if done in listener.previews(total) and not state.is_done:
                listener.on_preview(done, self._preview(state))
        except Exception as error:  # noqa: BLE001 - the picture itself may well succeed
            log_event("report_failed", request_id=state.request_id, error=error)

    @torch.inference_mode()
    def _preview(self, state: RequestState) -> list[Pixels]:
        """By the ROM's tiny decoder, or where it has none by a linear map."""
        denoised = torch.stack([row.estimate for row in state.rows])
        if "tiny" in state.backend.info.decoders:
            started = self._clock()
            images, _ = decode_images(state.backend, denoised, "tiny", self._room)
            state.costs.decode["tiny"].observe((self._clock() - started) / len(images))
            return images
        return self._previews.render(state.rom_id, state.backend, denoised)

    def _enlarge_all(self, state: RequestState, images: list[Pixels]) -> list[Pixels]:
        upscaling, costs = state.upscaling, state.upscale_costs
        if upscaling is None or costs is None:
            return images
        guides = [Guide(*one) for one in zip(state.params.prompts, state.params.seeds, strict=True)]
        return [
            self._enlarge(state, upscaling, image, guide, costs) for image, guide in zip(images, guides, strict=True)
        ]

    def _enlarge(
        self, state: RequestState | UpscaleState, upscaling: Upscaling, image: Pixels, guide: Guide, costs: LaneCosts
    ) -> Pixels:
        """One image; a request that is cancelled meanwhile ends between two pieces of the work."""

        def on_piece() -> None:
            self._on_progress()
            if state.is_cancelled:
                raise Cancelled("cancelled while it was enlarged")

        started = self._clock()
        enlarged = enlarge(upscaling, image, guide, self._room, on_piece)
        costs.step.observe(1, self._clock() - started, started)
        return enlarged


def _out_of_memory(state: RequestState | UpscaleState) -> OutOfRomMemory:
    if isinstance(state, UpscaleState):
        height, width, _ = state.image.shape
        return OutOfRomMemory(f"ROM {state.rom_id!r} has not the memory to enlarge {width}x{height}", param="upscale")
    width, height = state.params.width, state.params.height
    return OutOfRomMemory(f"ROM {state.rom_id!r} has not the memory for an image of {width}x{height}", param="width")
