"""`cartridge roms`: look at ROMs, bring them here, convert what is not served as it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.common import DEFAULT_URL, Url, leave, or_leave
from app.client import Client

roms = typer.Typer(help="What a service, a directory or a bucket has to offer.", no_args_is_help=True)
DEFAULT_CACHE_DIR = Path("~/.cache/cartridge")
CacheDir = Annotated[Path, typer.Option(help="The cache of their service.", envvar="CARTRIDGE_CACHE_DIR")]


@roms.command("list")
def list_roms(
    source: Annotated[
        str | None, typer.Argument(help="A directory or s3://bucket/prefix to look at, instead of asking a service.")
    ] = None,
    url: Url = DEFAULT_URL,
    cache_dir: CacheDir = DEFAULT_CACHE_DIR,
) -> None:
    """ROMs with their family, size and state."""
    rows, broken = _from_source(source, cache_dir.expanduser()) if source else _from_service(url)
    print(f"{'ID':<24}{'FAMILY':<20}{'PARAMETERS':>12}  STATE")
    for row in rows:
        print(f"{row['id']:<24}{row['family']:<20}{row['parameters']:>12,}  {row['state'].replace('_', ' ')}")
    for rom_id, reason in broken.items():
        print(f"{rom_id:<24}{'-':<20}{'-':>12}  broken: {reason}")


@roms.command("pull")
def pull_roms(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix, with ?region= and &endpoint_url= where needed.")],
    rom_ids: Annotated[list[str] | None, typer.Argument(help="Only these; all, unless told.")] = None,
    cache_dir: CacheDir = DEFAULT_CACHE_DIR,
) -> None:
    """Bring ROMs from a bucket into a cache directory, verified. Broken off, it goes on from there the next time."""
    from app.cli.pulling import Pulling

    with or_leave(lambda: Pulling(source, cache_dir.expanduser())) as pulling:
        pulled, failed = or_leave(lambda: pulling.run(rom_ids or []))
    for rom in pulled:
        print(f"{rom.id}  {rom.directory}")
    for rom_id, reason in failed.items():
        print(f"{rom_id}: {reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@roms.command("add")
def add_rom(
    rom_id: Annotated[str, typer.Argument(metavar="ID", help="Of a public model in the catalog.")],
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Its weights: a diffusers directory, a checkpoint in one file, s3://bucket/prefix."
        ),
    ],
    store: Annotated[Path, typer.Option("--to", help="The directory of ROMs it goes to.")] = Path("model_store"),
    catalog: Annotated[Path, typer.Option(help="The manifests of public models.")] = Path("model_store/catalog"),
    cache_dir: CacheDir = DEFAULT_CACHE_DIR,
) -> None:
    """Make a ROM of a public model: its manifest from the catalog, its weights from where you have them."""
    from app.cli.adding import add

    rom = or_leave(lambda: add(rom_id, source, store, catalog, cache_dir.expanduser()))
    print(f"{rom.id}  {rom.directory}")
    expected, actual = rom.manifest.expected.memory_bytes, 2 * rom.num_parameters
    if expected and not 0.9 < actual / expected < 1.1:
        told = f"{actual:,} bytes in half precision, where {expected:,} are expected"
        print(f"{rom.id}: is this the right model? It has {told}", file=sys.stderr)


@roms.command("convert")
def convert_rom(
    file: Annotated[Path, typer.Argument(help="Pickled weights: .ckpt, .pt, .pth or .bin.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; beside it, unless told.")] = None,
) -> None:
    """Make safetensors of pickled weights, without running what is in them."""
    from app.backends.pickles import convert_pickle

    target = output or file.with_suffix(".safetensors")
    if target == file:
        leave(f"{file} is called .safetensors, whatever is in it; say with --output where to")
    count = or_leave(lambda: convert_pickle(file, target))
    print(f"{target}  {count} tensors")


def _from_service(url: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    with Client(url) as client:
        info = or_leave(client.info)
    return info["roms"], info["quarantined"]


def _from_source(source: str, cache_dir: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    from app.roms.disk import RomDisk
    from app.roms.library import RomLibrary
    from app.roms.s3 import S3Store
    from app.roms.store import open_store

    store = or_leave(lambda: open_store(source))
    disk = RomDisk(cache_dir) if isinstance(store, S3Store) else None
    library = or_leave(lambda: RomLibrary([store], disk))
    library.read_buckets()
    library.close()
    for trouble in library.troubles().values():
        leave(trouble)
    rows = [
        {
            "id": rom.id,
            "family": rom.manifest.family,
            "parameters": rom.num_parameters,
            "state": "on disk" if disk is None or disk.is_whole(rom) else "in the bucket",
        }
        for rom in library.catalog
    ]
    return rows, library.catalog.quarantined
