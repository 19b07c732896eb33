"""Folders as public repositories have them: loaded by us, and by diffusers told which variant to take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.roms.catalog import read_rom
from tests.support import public_layouts
from tests.support.pairs import Pair
from tests.support.tiny_roms import TinyRoms

LAYOUTS: dict[str, tuple[Callable[[Path], None], str | None]] = {
    "several variants": (public_layouts.in_several_variants, None),
    "other folders": (public_layouts.beside_other_folders, None),
    "half precision alone": (public_layouts.in_half_precision_alone, "fp16"),
    "parts": (public_layouts.in_parts, None),
    "parts in half precision": (public_layouts.in_parts_in_half_precision_alone, "fp16"),
    "names of old": (public_layouts.with_names_of_old, None),
    "deleted safety checker": (public_layouts.with_a_safety_checker_that_was_deleted, None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rom", ["sd", "sdxl"])
def test_public_layout_is_loaded_as_diffusers_loads_it(
    tiny_roms: TinyRoms, tmp_path: Path, rom: str, layout: str
) -> None:
    directory = shutil.copytree(tiny_roms[rom], tmp_path / "rom")
    lay_out, variant = LAYOUTS[layout]
    lay_out(directory)
    pair = Pair(directory, variant=variant)
    pair.assert_same_latents(prompt="The cat! and, a dog: (1.2)", negative_prompt="Über-cat?!")
    pair.assert_same_pixels()
    buffers = 16 if layout == "names of old" else 0  # positions, which are no parameters
    assert pair.backend.info.nbytes == 4 * (read_rom(directory).num_parameters - buffers)
    pair.backend.unload()
