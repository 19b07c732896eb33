"""Compiling a U-Net's repeated blocks while the U-Net itself already serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.backends.graphs import Forward
from app.backends.sharing import share_weights
from app.logs import log_event


def compiled_twin(unet: Any, **options: Any) -> Any:
    """A U-Net with the same weights, not copied, whose repeated blocks are compiled when they are first called."""
    twin = share_weights(unet)
    twin.compile_repeated_blocks(**options)
    return twin


class CompiledLater:
    """`forward`, until the one that `compile_forward` makes has run on a first batch in the background."""

    def __init__(self, forward: Forward, compile_forward: Callable[[], Forward]) -> None:
        self._forward = forward
        self._compile_forward = compile_forward
        self.on_ready: Callable[[], None] = _nothing
        self._thread: threading.Thread | None = None

    def __call__(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        forward = self._forward
        if self._thread is None:
            example = [tensor.clone() for tensor in inputs]
            self._thread = threading.Thread(target=self._compile, args=(example,), name="compile", daemon=True)
            self._thread.start()
        return forward(inputs)

    def wait(self) -> None:
        """Until the background is done."""
        if self._thread is not None:
            self._thread.join()

    @torch.inference_mode()
    def _compile(self, example: Sequence[torch.Tensor]) -> None:
        try:
            compiled = self._compile_forward()
            compiled(example)
        except Exception as error:  # noqa: BLE001 - what serves already goes on serving
            log_event("compilation_failed", error=error)
            return
        self._forward = compiled
        self.on_ready()
        log_event("compiled")


def _nothing() -> None:
    """Nobody waits."""
