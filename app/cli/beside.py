"""`cartridge eval`, `eval-router` and `deploy`: hand their arguments to what lies beside app/, where it is carried."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import app as package
from app.cli.common import leave


def run_beside(arguments: list[str], command: str = "eval", module: str = "evaluation.command") -> None:
    """`main` of a module. Exits where its folder, or a package that only that needs, is not here."""
    root = str(Path(package.__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.append(root)  # an editable install finds app/ alone
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        folder = module.partition(".")[0]
        leave(f"cartridge {command}: this install does not carry {folder}/ ({error.name} is missing); use a checkout")
    main(arguments, prog=f"cartridge {command}")
