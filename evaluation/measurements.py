"""What was measured of one source of pictures: a table for people, a document for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROUNDED = 4  # digits after the point


@dataclass(frozen=True)
class Measurements:
    """Metrics by name, each with its numbers and what they were measured with."""

    source: str
    metrics: Mapping[str, Mapping[str, Any]]

    def table(self) -> str:
        """One row a number, in Markdown."""
        lines = [f"`{self.source}`", "", "| number | value | measured with |", "|---|---:|---|"]
        for values in self.metrics.values():
            notes = "; ".join(
                f"{name.replace('_', ' ')}: {value}" for name, value in values.items() if not isinstance(value, float)
            )
            lines += [
                f"| {name.replace('_', ' ')} | {value:.4g} | {notes} |"
                for name, value in values.items()
                if isinstance(value, float)
            ]
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"source": self.source, "metrics": {name: _rounded(values) for name, values in self.metrics.items()}}

    def write(self, directory: Path) -> None:
        """metrics.md and metrics.json, in `directory`, which is made when absent."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "metrics.md").write_text(self.table(), encoding="utf-8")
        (directory / "metrics.json").write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, _ROUNDED) if isinstance(value, float) else value for name, value in values.items()}
