"""A picture in a terminal: two pixels a character, in 24-bit colours."""

from __future__ import annotations

import io

from PIL import Image

_COLUMNS = 48


def terminal_picture(data: bytes, columns: int = _COLUMNS) -> str:
    """Upper half blocks; the foreground is the upper pixel, the background the lower one."""
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
        rows = max(1, round(columns * height / width / 2))
        pixels = opened.convert("RGB").resize((columns, 2 * rows))
    lines = []
    for row in range(rows):
        cells = [_cell(pixels.getpixel((x, 2 * row)), pixels.getpixel((x, 2 * row + 1))) for x in range(columns)]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _cell(upper: object, lower: object) -> str:
    front, back = (";".join(str(value) for value in pixel) for pixel in (upper, lower))  # type: ignore[attr-defined]
    return f"\x1b[38;2;{front}m\x1b[48;2;{back}m▀"
