"""The tree in the docstring is the tree of classes, and every error is fit to be shown to a caller."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app import errors
from app.errors import CartridgeError

NEVER_SERVED = ("ManifestError", "SettingsError")  # drawn without a status
LINE = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<name>\w+)(?: +(?P<status>\d{3}))? +\S")


def subclasses(cls: type[CartridgeError]) -> Iterator[type[CartridgeError]]:
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from subclasses(child)


ERRORS = list(subclasses(CartridgeError))


def drawn() -> dict[str, tuple[str, int | None]]:
    """Name to parent and status, read from the drawing."""
    path, tree = ["CartridgeError"], {}
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            depth = len(match["indent"]) // 4 + 1
            path[depth:] = [match["name"]]
            tree[match["name"]] = (path[depth - 1], int(match["status"]) if match["status"] else None)
    return tree


def test_drawing_lists_exactly_the_classes_with_their_parents_and_statuses() -> None:
    assert drawn() == {
        error.__name__: (error.__mro__[1].__name__, None if error.__name__ in NEVER_SERVED else error.http_status)
        for error in ERRORS
    }


@pytest.mark.parametrize("error", ERRORS)
def test_status_is_an_http_error(error: type[CartridgeError]) -> None:
    assert 400 <= error.http_status < 600


def test_codes_are_unique() -> None:
    assert len({error.code for error in ERRORS}) == len(ERRORS)


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    assert {error.__name__ for error in ERRORS if error.retryable} == {
        "Overloaded",
        "NotReady",
        "StoreUnavailable",
    }


def test_message_is_one_line() -> None:
    assert CartridgeError("first line\n  second\tline").message == "first line second line"
