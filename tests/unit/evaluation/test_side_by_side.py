from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.side_by_side import TimedRom, document, sheet, speed_table, write


def _rom(name: str, seconds: list[float], colour: tuple[int, int, int], size: int = 64) -> TimedRom:
    image = np.full((size, size, 3), colour, dtype=np.uint8)
    return TimedRom(name, [image] * len(seconds), seconds, step_s=seconds[0] / 20)


def test_ratios_are_to_the_first_beside_the_published_ones() -> None:
    roms = [_rom("bk-sdm-small", [1.0, 2.0, 9.0], (9, 9, 9)), _rom("sdxl-base", [10.0, 16.0, 16.0], (0, 0, 0))]
    roms.append(_rom("shapes", [0.5, 0.5, 0.5], (0, 0, 0)))
    lines = speed_table(roms).splitlines()
    assert lines[2:5] == [
        "| bk-sdm-small | 2.000 | 0.0500 | 1.00 | 1.00 |",
        "| sdxl-base | 16.000 | 0.5000 | 8.00 | 8.22 |",
        "| shapes | 0.500 | 0.0250 | 0.25 | - |",
    ]
    assert "SD v1-4 15.4 s" in lines[-1]
    assert [row["ratio"] for row in document(roms)["roms"]] == [1, 8, 0.25]


def test_nothing_published_compares_with_a_first_rom_of_our_own() -> None:
    roms = [_rom("shapes", [0.5], (0, 0, 0)), _rom("sdxl", [1.0], (0, 0, 0))]
    assert speed_table(roms).splitlines()[3].endswith("| 2.00 | - |")


def test_the_sheet_has_a_row_a_prompt_and_a_column_a_rom(tmp_path: Path) -> None:
    roms = [_rom("red", [1.0, 1.0], (255, 0, 0)), _rom("blue", [2.0, 2.0], (0, 0, 255), size=128)]
    write(roms, ["one", "two"], tmp_path / "out")
    with Image.open(tmp_path / "out" / "side_by_side.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == np.asarray(sheet(roms, ["one", "two"])).shape
    red, blue = ((pixels == colour).all(axis=-1) for colour in ([255, 0, 0], [0, 0, 255]))
    assert red.sum() == blue.sum() == 2 * 64 * 64  # both as large as the first
    assert np.nonzero(red)[1].max() < np.nonzero(blue)[1].min()
    assert (tmp_path / "out" / "speed.md").read_text() == speed_table(roms)


def test_other_sizes_are_scaled_down() -> None:
    assert max(sheet([_rom("large", [1.0], (1, 2, 3), size=1024)], ["one"]).size) == pytest.approx(350, abs=50)
