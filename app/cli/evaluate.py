"""`cartridge eval` and `cartridge eval-router`: hand their arguments to evaluation/, where an install carries that."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import app as package
from app.cli.common import leave


def run_evaluation(arguments: list[str], command: str = "eval", module: str = "evaluation.command") -> None:
    """`main` of a module. Exits where evaluation/, or a package that only it needs, is not here."""
    root = str(Path(package.__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.append(root)  # an editable install finds app/ alone
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        leave(f"cartridge {command}: this install does not carry evaluation/ ({error.name} is missing); use a checkout")
    main(arguments, prog=f"cartridge {command}")
