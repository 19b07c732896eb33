"""Rules of requests that fail: a caller sees the status and the text of the body, inside a ModelError."""

from __future__ import annotations

from deploy.local.conformance.rule import Broken, rule
from deploy.local.conformance.subject import Subject, summary

_UNDECODABLE = b'\x00\xff{"'


@rule(
    "error-status",
    "A body that cannot be decoded is the caller's error, 400 to 499.",
    "botocore: ModelError tells a caller's 4xx from the model's 5xx by OriginalStatusCode",
)
def error_status(subject: Subject) -> str:
    answer = subject.post(_UNDECODABLE)
    if not 400 <= answer.status_code < 500:
        raise Broken(f"answered {summary(answer)}")
    return f"answered {answer.status_code}"


@rule(
    "error-text",
    "An error's body is text in one line, no page of HTML.",
    "botocore: OriginalMessage is all that a caller learns; pages hide the cause (sagemaker-python-sdk#1487)",
)
def error_text(subject: Subject) -> str:
    answer = subject.post(_UNDECODABLE)
    try:
        text = answer.content.decode().strip()
    except UnicodeDecodeError as error:
        raise Broken("not UTF-8") from error
    if not text:
        raise Broken("no body")
    if "<html" in text.lower() or "<body" in text.lower():
        raise Broken(f"HTML: {' '.join(text.split())[:80]}")
    if len(text.splitlines()) > 1:
        raise Broken(f"{len(text.splitlines())} lines: {text.splitlines()[0][:80]}")
    return text[:80]
