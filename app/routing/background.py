"""Texts that belong to no domain: the class "out of domain"."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from app.routing.domains import GENERAL

REQUESTS, PICTURES = "background.txt", "pictures.txt"


def background_of(domains: Iterable[str]) -> tuple[str, ...]:
    """Requests that are for no picture; where no domain takes pictures of any kind, those of other pictures too."""
    return _lines(REQUESTS) if GENERAL in domains else _lines(REQUESTS) + _lines(PICTURES)


def _lines(name: str) -> tuple[str, ...]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(line for line in map(str.strip, text.splitlines()) if line)
