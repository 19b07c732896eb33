"""What is right of a picture, whatever it is a picture of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Verdict(Protocol):
    @property
    def parts(self) -> Mapping[str, bool | None]:
        """By name; None: the prompt did not ask for it. Every verdict on a subject has the same."""

    @property
    def all_right(self) -> bool:
        """Whether the picture shows what was asked for."""
