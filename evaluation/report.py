"""What an evaluation leaves behind: a table for people, every verdict for machines, and a contact sheet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.roms.manifest import Preset
from evaluation.alignment import AlignmentReport
from evaluation.sheet import contact_sheet

_SHEET_IMAGES = 32


@dataclass(frozen=True)
class RomReport:
    """The alignment of one ROM under one preset, and how long generating and judging took."""

    rom: str
    preset: Preset
    duration_s: float
    alignment: AlignmentReport

    def table(self) -> str:
        """Rates in percent, one row a prompt set, in Markdown."""
        parts = self.alignment.parts
        steps, scale = self.preset.num_inference_steps, self.preset.guidance_scale
        lines = [
            f"`{self.rom}`, {steps} steps, guidance scale {scale:g}: images judged right, in percent",
            "",
            "| prompts | images | " + " | ".join(part.replace("_", " ") for part in parts) + " |",
            "|---|" + "---:|" * (len(parts) + 1),
        ]
        for name, rates in self.alignment.rates().items():
            number = sum(len(report.images) for report in self.alignment.sets if report.name == name)
            cells = ["-" if rate is None else f"{100 * rate:.1f}" for rate in rates.values()]
            lines.append(f"| {name} | {number} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, object]:
        """Everything but the pixels, ready for JSON."""
        return {
            "rom": self.rom,
            "preset": self.preset.model_dump(),
            "duration_s": round(self.duration_s, 1),
            "rates": self.alignment.rates(),
            "images": {
                report.name: [
                    {"prompt": item.prompt.text, "seed": item.prompt.seed} | item.answers for item in report.images
                ]
                for report in self.alignment.sets
            },
        }

    def write(self, directory: Path) -> None:
        """report.md, report.json and sheet.png, in `directory`, which is made when absent."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.md").write_text(self.table(), encoding="utf-8")
        (directory / "report.json").write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")
        self._sheet().save(directory / "sheet.png")

    def _sheet(self) -> Image.Image:
        """The first images of every set, 32 in all."""
        share = _SHEET_IMAGES // max(1, len(self.alignment.sets))
        chosen = [item for part in self.alignment.sets for item in part.images[:share]]
        wrong = [index for index, item in enumerate(chosen) if not item.verdict.all_right]
        images = [Image.fromarray(item.image) for item in chosen]
        return contact_sheet(images, [item.prompt.text for item in chosen], wrong)
