"""A public model's ROM, of weights on the disk or in a bucket."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from app.roms.adding import add_rom, find_published, target_of
from app.roms.catalog import Rom


def add(rom_id: str, source: str, store: Path, catalog: Path, cache_dir: Path) -> Rom:
    """Make `store`/<id>. What comes from a bucket is brought to `cache_dir` first, where it is gone on from later.

    Raises CartridgeError; nothing is left in `store` then.
    """
    published = find_published(catalog, rom_id)
    if not source.startswith("s3://"):
        return add_rom(published, Path(unquote(source.removeprefix("file://"))).expanduser(), store)
    from app.cli.pulling import Pulling

    target_of(published, store)  # before anything is downloaded
    with Pulling(source, cache_dir) as pulling:
        found = pulling.find(rom_id)
        published.check_family(found.manifest.family, source)
        return add_rom(published, pulling.bring(found).directory, store)
