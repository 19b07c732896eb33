"""The body of `POST /models`."""

from __future__ import annotations

from app.errors import InvalidRequest
from app.wire.native import decode_json

_FIELDS = ("model_name", "url")


def parse_load(body: bytes) -> tuple[str, str]:
    """The model's name and where it lies. Raises InvalidRequest naming the field."""
    content = decode_json(body)
    if unknown := [name for name in content if name not in _FIELDS]:
        raise InvalidRequest("is no field of this request", param=unknown[0])
    for name in _FIELDS:
        if not isinstance(content.get(name), str) or not content[name]:
            raise InvalidRequest("must be a string that is not empty", param=name)
    if content["model_name"] in (".", ".."):
        raise InvalidRequest("cannot be part of an address", param="model_name")
    return content["model_name"], content["url"]
