"""`cartridge eval`: hands its arguments to evaluation/, where an install carries that."""

from __future__ import annotations

import sys
from pathlib import Path

import app as package
from app.cli.common import leave


def run_evaluation(arguments: list[str]) -> None:
    """Exits where evaluation/, or a package that only it needs, is not here."""
    root = str(Path(package.__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.append(root)  # an editable install finds app/ alone
    try:
        from evaluation.command import main
    except ModuleNotFoundError as error:
        leave(f"cartridge eval: this install does not carry evaluation/ ({error.name} is missing); use a checkout")
    main(arguments, prog="cartridge eval")
