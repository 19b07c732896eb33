"""`cartridge roms`: look at ROMs, bring them here, convert what is not served as it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.common import DEFAULT_URL, Url, or_leave
from app.client import Client

roms = typer.Typer(help="What a service, a directory or a bucket has to offer.", no_args_is_help=True)


@roms.command("list")
def list_roms(
    directory: Annotated[Path | None, typer.Argument(help="Look here instead of asking a service.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """ROMs with their family, size and state."""
    rows, broken = _from_directory(directory) if directory else _from_service(url)
    print(f"{'ID':<24}{'FAMILY':<20}{'PARAMETERS':>12}  STATE")
    for row in rows:
        print(f"{row['id']:<24}{row['family']:<20}{row['parameters']:>12,}  {row['state'].replace('_', ' ')}")
    for rom_id, reason in broken.items():
        print(f"{rom_id:<24}{'-':<20}{'-':>12}  broken: {reason}")


@roms.command("pull")
def pull_roms(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix, with ?region= and &endpoint_url= where needed.")],
    rom_ids: Annotated[list[str] | None, typer.Argument(help="Only these; all, unless told.")] = None,
    cache_dir: Annotated[
        Path, typer.Option(help="The cache of the service that is to find them.", envvar="CARTRIDGE_CACHE_DIR")
    ] = Path("~/.cache/cartridge"),
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


@roms.command("convert")
def convert_rom(
    file: Annotated[Path, typer.Argument(help="Pickled weights: .ckpt, .pt, .pth or .bin.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; beside it, unless told.")] = None,
) -> None:
    """Make safetensors of pickled weights, without running what is in them."""
    from app.backends.pickles import convert_pickle

    target = output or file.with_suffix(".safetensors")
    count = or_leave(lambda: convert_pickle(file, target))
    print(f"{target}  {count} tensors")


def _from_service(url: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    with Client(url) as client:
        info = or_leave(client.info)
    return info["roms"], info["quarantined"]


def _from_directory(directory: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    from app.roms.library import RomLibrary
    from app.roms.store import open_store

    catalog = or_leave(lambda: RomLibrary([open_store(f"file://{directory.resolve()}")])).catalog
    rows = [
        {"id": rom.id, "family": rom.manifest.family, "parameters": rom.num_parameters, "state": "on disk"}
        for rom in catalog
    ]
    return rows, catalog.quarantined
