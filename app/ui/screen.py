"""What the page shows beside its form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from app.ui.markup import NOTHING

Picture = tuple[str, str]  # a file, and what is written below it


@dataclass(frozen=True)
class Screen:
    """One moment of it, whole: what a screen does not name is empty."""

    status: Markup = NOTHING
    pictures: list[Picture] = field(default_factory=list)
    routing: Markup = NOTHING
    answer: dict[str, Any] = field(default_factory=dict)  # the service's latest, without what is shown as pictures

    def outputs(self) -> tuple[str, list[Picture], str, dict[str, Any]]:
        """In the order of the page's components."""
        return str(self.status), self.pictures, str(self.routing), self.answer
