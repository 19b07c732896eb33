"""Whether the device has memory for what is to come, and what makes some where it is short."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from app.backends.base import Backend, Upscaler
from app.backends.devices import free_bytes, return_memory
from app.engine.state import RequestState, latent_shape
from app.errors import OutOfRomMemory

_MIB = 1024 * 1024


class Room:
    def __init__(self, free_memory: Callable[[], bool], free_bytes: Callable[[torch.device], int] = free_bytes) -> None:
        self._free_memory = free_memory  # drops idle ROMs; whether any was dropped
        self._free_bytes = free_bytes

    def fits(self, backend: Backend | Upscaler, nbytes: int, *, may_unload: bool = True) -> bool:
        """Whether there is as much, after reserves and, where it may, idle ROMs were let go for it if need be."""
        device = backend.info.device
        if nbytes <= self._free_bytes(device):
            return True
        return_memory()
        if nbytes <= self._free_bytes(device):
            return True
        return may_unload and self._free_memory() and nbytes <= self._free_bytes(device)

    def require(self, state: RequestState) -> None:
        """Raises OutOfRomMemory where not even a forward of one image would fit."""
        params, backend = state.params, state.backend
        needed = backend.info.memory.of_forward(state.row_cost, math.prod(latent_shape(params, backend)[1:]))
        if not self.fits(backend, needed):
            free = self._free_bytes(backend.info.device)
            size = f"{params.width}x{params.height}"
            reason = f"an image of {size} takes {needed // _MIB} MiB beside the weights, {free // _MIB} are free"
            raise OutOfRomMemory(f"ROM {state.rom_id!r}: {reason}", param="width")
