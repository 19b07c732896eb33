"""The one way out: every accepted request leaves the engine through here, with a result or an error."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch

from app.backends.failures import Failure, classify
from app.core import FinishReason
from app.engine.pictures import PreviewMap, decode_images
from app.engine.room import Room
from app.engine.state import EngineResult, RequestState
from app.errors import BackendError, Cancelled, CartridgeError, DeadlineExceeded, OutOfRomMemory
from app.imaging import Pixels
from app.logs import log_event

_PREVIEW_MAPS_KEPT = 32


class Answers:
    def __init__(self, clock: Callable[[], float], report_lost: Callable[[str], object], room: Room) -> None:
        self._clock = clock
        self._report_lost = report_lost
        self._room = room
        self._preview_maps: OrderedDict[str, PreviewMap] = OrderedDict()  # by ROM

    def finish(self, state: RequestState, reason: FinishReason = "completed") -> None:
        """Decode what the request has come to: its latents, or at a deadline the clean image it was heading for."""
        started = self._clock()
        rows = [row.latents if row.is_done else row.estimate for row in state.rows]
        try:
            with torch.inference_mode():
                images, notices = decode_images(state.backend, torch.stack(rows), state.params.decoder, self._room)
        except Exception as error:  # noqa: BLE001 - whatever a model raises becomes this request's answer
            self.fail(state, error)
            return
        decode_s = self._clock() - started
        state.costs.decode[state.params.decoder].observe(decode_s / len(rows))
        state.future.set_result(
            EngineResult(
                images=images,
                finish_reason=reason,
                completed_steps=state.completed_steps,
                notices=(*state.notices, *notices),
                queue_s=state.started_at - state.submitted_at - state.encode_s,
                encode_s=state.encode_s,
                denoise_s=started - state.started_at,
                decode_s=decode_s,
            )
        )

    def end_late(self, state: RequestState) -> None:
        """Its time is up: the estimate so far, unless it is to be whole or nothing, or there is nothing yet."""
        if state.completed_steps and state.budget.on_deadline != "fail":
            self.finish(state, "deadline")
            return
        done, total = state.completed_steps, len(state.path)
        reason = f"the time budget passed after {done} of {total} steps"
        state.future.set_exception(DeadlineExceeded(reason, param="timeout_s"))

    def end_cancelled(self, state: RequestState) -> None:
        done, total = state.completed_steps, len(state.path)
        state.future.set_exception(Cancelled(f"cancelled after {done} of {total} steps"))

    def fail(self, state: RequestState, error: Exception) -> None:
        if isinstance(error, CartridgeError):
            state.future.set_exception(error)
            return
        failure = classify(error)
        if failure is Failure.DEVICE_LOST:
            self._report_lost(f"{type(error).__name__}: {error}"[:300])
        if failure is Failure.OUT_OF_MEMORY:
            width, height = state.params.width, state.params.height
            message = f"ROM {state.rom_id!r} has not the memory for an image of {width}x{height}"
            answer: CartridgeError = OutOfRomMemory(message, param="width")
        else:
            message = f"ROM {state.rom_id!r} failed on this request: {type(error).__name__}: {error}"
            answer = BackendError(message[:300])
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
        return self._preview_map(state.rom_id).render(state.backend, denoised)

    def _preview_map(self, rom_id: str) -> PreviewMap:
        if rom_id not in self._preview_maps:
            self._preview_maps[rom_id] = PreviewMap()
            if len(self._preview_maps) > _PREVIEW_MAPS_KEPT:
                self._preview_maps.popitem(last=False)
        return self._preview_maps[rom_id]
