"""What a device's error means for those who want to go on."""

from __future__ import annotations

from enum import Enum, auto

import torch

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
# After these a CUDA context answers every call with the same error: only a new process helps.
_DEVICE_LOST = (
    "illegal memory access",
    "device-side assert",
    "unspecified launch failure",
    "misaligned address",
    "uncorrectable ECC error",
    "device is lost",
)


class Failure(Enum):
    ORDINARY = auto()
    OUT_OF_MEMORY = auto()
    DEVICE_LOST = auto()


def classify(error: Exception) -> Failure:
    """Recognised by type where torch has one, and by its words where it raises RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return Failure.OUT_OF_MEMORY
    if isinstance(error, RuntimeError):
        words = str(error)
        if any(part in words for part in _OUT_OF_MEMORY):
            return Failure.OUT_OF_MEMORY
        if any(part in words for part in _DEVICE_LOST):
            return Failure.DEVICE_LOST
    return Failure.ORDINARY
