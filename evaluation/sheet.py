"""A contact sheet: images with their prompts underneath, and a red frame around those judged wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from evaluation.alignment import AlignmentReport, JudgedImage
from training.scenes import IMAGE_SIZE

_COLUMNS, _IMAGES = 8, 32
_FRAME, _GAP, _TEXT_HEIGHT, _FONT_SIZE, _LINE_CHARACTERS, _LINES = 4, 8, 68, 10, 27, 5  # pixels, characters
_PAPER, _INK, _WRONG = (235, 235, 235), (20, 20, 20), (220, 0, 0)


def contact_sheet(report: AlignmentReport) -> Image.Image:
    """The first images of every set, 32 in all, eight a row."""
    share = _IMAGES // max(1, len(report.sets))
    chosen = [item for part in report.sets for item in part.images[:share]]
    cell_width, cell_height = IMAGE_SIZE + 2 * _FRAME + _GAP, IMAGE_SIZE + 2 * _FRAME + _TEXT_HEIGHT
    rows = -(-len(chosen) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * cell_width + _GAP, rows * cell_height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, item in enumerate(chosen):
        row, column = divmod(index, _COLUMNS)
        _paste(sheet, draw, item, (_GAP + column * cell_width, _GAP + row * cell_height))
    return sheet


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, item: JudgedImage, corner: Sequence[int]) -> None:
    x, y = corner
    side = IMAGE_SIZE + 2 * _FRAME
    if not item.verdict.all_right:
        draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_WRONG)
    sheet.paste(Image.fromarray(item.image), (x + _FRAME, y + _FRAME))
    lines = textwrap.wrap(item.prompt.text, _LINE_CHARACTERS)[:_LINES]
    draw.multiline_text((x, y + side + 1), "\n".join(lines), _INK, ImageFont.load_default(_FONT_SIZE), spacing=2)
