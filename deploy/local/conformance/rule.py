"""What a rule is, and all there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from deploy.local.conformance.subject import Subject

Verdict = Literal["kept", "broken", "skipped"]
Check = Callable[["Subject"], str]


class Broken(Exception):
    """A rule is not kept; the message is what was observed."""


class Skipped(Exception):
    """A rule cannot be looked at here; the message says why."""


@dataclass(frozen=True)
class Rule:
    """`check` returns what it observed of a container that keeps the rule. Raises Broken, Skipped."""

    id: str
    sentence: str
    source: str
    check: Check


@dataclass(frozen=True)
class Outcome:
    rule: Rule
    verdict: Verdict
    observed: str


RULES: dict[str, Rule] = {}  # in the order in which they are looked at


def rule(rule_id: str, sentence: str, source: str) -> Callable[[Check], Check]:
    """Enters a check into `RULES`."""

    def enter(check: Check) -> Check:
        if rule_id in RULES:
            raise ValueError(f"two rules are called {rule_id}")
        RULES[rule_id] = Rule(rule_id, sentence, source, check)
        return check

    return enter


def judge(entered: Rule, subject: Subject) -> Outcome:
    try:
        return Outcome(entered, "kept", entered.check(subject))
    except Broken as broken:
        return Outcome(entered, "broken", str(broken))
    except Skipped as skipped:
        return Outcome(entered, "skipped", str(skipped))
