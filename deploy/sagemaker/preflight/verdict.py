"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    outcome: Literal["pass", "warn", "fail", "skip"]
    detail: str
    advice: str = ""  # what to do


def passed(detail: str) -> Verdict:
    return Verdict("pass", detail)


def warned(detail: str, advice: str) -> Verdict:
    return Verdict("warn", detail, advice)


def failed(detail: str, advice: str) -> Verdict:
    return Verdict("fail", detail, advice)
