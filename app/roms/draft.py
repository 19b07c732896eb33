"""A ROM before its weights are on the disk: read as if they were, by the first bytes of each."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from app.roms.catalog import Rom, read_rom


def read_draft(directory: Path, small: Collection[str], heads: Mapping[str, tuple[bytes, int]]) -> Rom:
    """The ROM in `directory`, of which these `small` files are there.

    `heads`: the beginning of each of the others, its header included, and how many bytes it has. Raises ManifestError.
    """
    with tempfile.TemporaryDirectory(prefix="cartridge-draft-") as name:
        draft = Path(name) / directory.name
        for path in (*small, *heads):
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
        for path in small:
            (draft / path).symlink_to((directory / path).resolve())
        for path, (head, size) in heads.items():
            with (draft / path).open("wb") as file:
                file.write(head)
                file.truncate(size)  # the rest is a hole, which takes no room
        return read_rom(draft).moved_to(directory)
