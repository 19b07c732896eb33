"""What commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn, TypeVar

import typer

from app.client import ServiceError
from app.errors import CartridgeError

T = TypeVar("T")

DEFAULT_URL = "http://localhost:8080"
Url = Annotated[str, typer.Option(help="The service.", envvar="CARTRIDGE_URL")]


def or_leave(call: Callable[[], T]) -> T:
    """What the call returns; its error is one line, and the end."""
    try:
        return call()
    except ServiceError as error:
        leave(str(error))
    except CartridgeError as error:
        leave(error.message)


def leave(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)
