"""Which headers pass through the platform, under which names, and how long they may be."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.local.errors import ValidationError

TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
SESSION_ID = "X-Amzn-SageMaker-Session-Id"
CONTENT_TYPE = "X-Amzn-SageMaker-Content-Type"  # where Content-Type is the call's own
ACCEPT = "X-Amzn-SageMaker-Accept"
PRODUCTION_VARIANT = "x-Amzn-Invoked-Production-Variant"
VARIANT = "AllTraffic"
USER_AGENT = "AHC/2.0"  # what the platform's own client calls itself

_LONGEST = {
    "Content-Type": 1024,
    "Accept": 1024,
    CONTENT_TYPE: 1024,
    ACCEPT: 1024,
    CUSTOM_ATTRIBUTES: 1024,
    INFERENCE_ID: 64,
    SESSION_ID: 256,
    TARGET_MODEL: 1024,
}
IN_HEADERS = {"Content-Type": "Content-Type", "Accept": "Accept"}
IN_STREAM_HEADERS = {"Content-Type": "Content-Type", "Accept": ACCEPT}
IN_ASYNC_HEADERS = {"Content-Type": CONTENT_TYPE, "Accept": ACCEPT}
_FORWARDED = (CUSTOM_ATTRIBUTES, INFERENCE_ID, SESSION_ID)
_RETURNED = (
    "Content-Type",
    CUSTOM_ATTRIBUTES,
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)


def forwarded(
    headers: Mapping[str, str], types: Mapping[str, str] = IN_HEADERS, *, multi_model: bool = False
) -> dict[str, str]:
    """What a container sees of a caller's headers; `types` says where the call has those of the payload.

    Raises ValidationError.
    """
    check(headers)
    given = {name: headers[own] for name, own in types.items() if own in headers}
    names = (*_FORWARDED, TARGET_MODEL) if multi_model else _FORWARDED
    return given | {name: headers[name] for name in names if name in headers}


def returned(headers: Mapping[str, str]) -> dict[str, str]:
    """What a caller sees of a container's headers, which are found whatever their case."""
    return {name: headers[name] for name in _RETURNED if name in headers} | {PRODUCTION_VARIANT: VARIANT}


def returned_stream(headers: Mapping[str, str]) -> dict[str, str]:
    """The same where the body is of events, and its own type travels beside it."""
    given = {CONTENT_TYPE if name == "Content-Type" else name: value for name, value in returned(headers).items()}
    return {**given, "Content-Type": "application/vnd.amazon.eventstream"}


def check(headers: Mapping[str, str]) -> None:
    """Raises ValidationError naming the header that is too long or empty."""
    for name, longest in _LONGEST.items():
        value = headers.get(name)
        if value is not None and len(value) > longest:
            raise ValidationError(
                f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
                f"Member must have length less than or equal to {longest}"
            )
        if value == "" and name in (INFERENCE_ID, TARGET_MODEL):
            raise ValidationError(
                f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
                "Member must have length greater than or equal to 1"
            )
