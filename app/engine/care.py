"""What the engine tells, and asks of, those around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class StepObserver(Protocol):
    def observe_step(self, rom_id: str, rows: int, seconds: float) -> None:
        """Called after every forward."""


def _nothing_to_free() -> bool:
    return False


def _nobody_to_tell(reason: str) -> None:
    """The default of those who run an engine by hand."""


@dataclass(frozen=True)
class DeviceCare:
    """What can be done for a device in trouble."""

    free_memory: Callable[[], bool] = _nothing_to_free  # drop idle ROMs; whether any was dropped
    report_lost: Callable[[str], object] = _nobody_to_tell  # the device will not recover in this process
