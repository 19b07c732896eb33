"""What SageMaker's own headers say. Only these headers reach a container; all else travels in the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.errors import InvalidRequest

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_ATTRIBUTES = ("timeout_s", "request_id", "model")


def apply_headers(content: dict[str, Any], headers: Mapping[str, str], *, names_model: bool = True) -> dict[str, Any]:
    """The body with what the headers add; a field of the body wins over its header. Without
    `names_model` none of them says which model: that is chosen already.

    Raises InvalidRequest naming the header.
    """
    added: dict[str, Any] = _custom_attributes(headers.get(CUSTOM_ATTRIBUTES, ""))
    if names_model and (target := headers.get(TARGET_MODEL)):
        added["model"] = target
    if inference_id := headers.get(INFERENCE_ID):
        added["request_id"] = inference_id
    inner = content.get("parameters")
    given = content.keys() | (inner.keys() if isinstance(inner, dict) else set())
    if "rom" in given:
        added.pop("model", None)
    return {**{name: value for name, value in added.items() if name not in given}, **content}


def _custom_attributes(text: str) -> dict[str, Any]:
    """`key=value,key=value`; keys that are not Cartridge's belong to the caller and are left alone."""
    attributes: dict[str, Any] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = pair.partition("=")
        if name not in _ATTRIBUTES:
            continue
        attributes[name] = _seconds(value) if name == "timeout_s" else value
    return attributes


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InvalidRequest(f"timeout_s is {value!r}, not a number", param=CUSTOM_ATTRIBUTES) from error
