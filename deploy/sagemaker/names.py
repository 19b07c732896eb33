"""Names and tags: what belongs to an endpoint is called after it and carries its tag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

ENDPOINT_TAG = "cartridge:endpoint"
REPOSITORY_TAG = "cartridge:repository"
ROLE_TAG = "cartridge:role"
VARIANT = "main"
_DIGEST_LENGTH = 10

Tags = list[dict[str, str]]


def tags(key: str, value: str, more: Mapping[str, str] | None = None) -> Tags:
    """As most services take them; ours comes first."""
    return [{"Key": name, "Value": text} for name, text in {key: value, **(more or {})}.items()]


def carries(found: Iterable[Mapping[str, str]], key: str, value: str) -> bool:
    """Whether these tags hold ours."""
    return any(tag.get("Key") == key and tag.get("Value") == value for tag in found)


def content_name(prefix: str, request: Mapping[str, Any]) -> str:
    """A name that is the same for the same content, and another for another."""
    text = json.dumps(request, sort_keys=True)
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]}"
