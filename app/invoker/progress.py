"""What is told of a request on its way."""

from __future__ import annotations

from dataclasses import dataclass

from app.imaging import Pixels


@dataclass(frozen=True)
class Queued:
    """It was accepted."""

    request_id: str
    position: int  # accepted requests that are due before it
    predicted_s: float  # from acceptance to its images


@dataclass(frozen=True)
class StepDone:
    step: int  # that every image has taken
    steps: int
    elapsed_s: float


@dataclass(frozen=True)
class PartialImages:
    """A preview of each of its images."""

    step: int
    images: tuple[Pixels, ...]  # of any size


Progress = Queued | StepDone | PartialImages
