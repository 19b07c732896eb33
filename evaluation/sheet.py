"""A contact sheet: images with their captions underneath, and a red frame around those judged wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw, ImageFont

_COLUMNS = 8
_FRAME, _GAP, _TEXT_HEIGHT, _FONT_SIZE, _LINE_CHARACTERS, _LINES = 4, 8, 68, 10, 27, 5  # pixels, characters
_PAPER, _INK, _WRONG = (235, 235, 235), (20, 20, 20), (220, 0, 0)


def contact_sheet(
    images: Sequence[Image.Image], captions: Sequence[str], wrong: Collection[int] = (), columns: int = _COLUMNS
) -> Image.Image:
    """Images of one size, `columns` a row; `wrong` holds the indices that get a frame."""
    width, height = images[0].size
    cell_width, cell_height = width + 2 * _FRAME + _GAP, height + 2 * _FRAME + _TEXT_HEIGHT
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        x, y = _GAP + column * cell_width, _GAP + row * cell_height
        right, bottom = x + width + 2 * _FRAME, y + height + 2 * _FRAME
        if index in wrong:
            draw.rectangle((x, y, right - 1, bottom - 1), fill=_WRONG)
        sheet.paste(image, (x + _FRAME, y + _FRAME))
        lines = textwrap.wrap(caption, _LINE_CHARACTERS)[:_LINES]
        draw.multiline_text((x, bottom + 1), "\n".join(lines), _INK, ImageFont.load_default(_FONT_SIZE), spacing=2)
    return sheet
