"""Commands of the rooms beside app/: they get their arguments, where an install carries the room."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import app as package
from app.cli.common import leave


def run_room(arguments: list[str], command: str, module: str) -> None:
    """`main` of a module. Exits where its room, or a package that only it needs, is not here."""
    root = str(Path(package.__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.append(root)  # an editable install finds app/ alone
    room = module.partition(".")[0]
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        leave(f"cartridge {command}: this install does not carry {room}/ ({error.name} is missing); use a checkout")
    main(arguments, prog=f"cartridge {command}")
