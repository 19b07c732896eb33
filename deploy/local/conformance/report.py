"""All rules, one after another, and the table of what came of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from deploy.local.conformance import failing, hosting, images, invoking, offering, pinging, starting, stopping
from deploy.local.conformance.rule import RULES, Outcome, Rule, judge
from deploy.local.conformance.subject import Subject

MODULES = (starting, pinging, invoking, failing, offering, hosting, stopping, images)  # each enters its rules


def all_rules() -> list[Rule]:
    """In the order in which they are looked at: that of the modules."""
    return sorted(RULES.values(), key=lambda rule: [module.__name__ for module in MODULES].index(rule.check.__module__))


def judge_all(subject: Subject) -> Iterator[Outcome]:
    """Raises ContainerError."""
    with subject.opened():
        for rule in all_rules():
            yield judge(rule, subject)


def row(outcome: Outcome) -> str:
    """A line of the table; a broken rule has another that states it."""
    line = f"{outcome.verdict:<8} {outcome.rule.id:<20} {outcome.observed}"
    if outcome.verdict != "broken":
        return line
    return f"{line}\n{'':<29} {outcome.rule.sentence} [{outcome.rule.source}]"


def total(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(outcome.verdict for outcome in outcomes)
    return f"{counts['kept']} kept, {counts['broken']} broken, {counts['skipped']} skipped"


def as_json(outcomes: Sequence[Outcome]) -> str:
    rows = [
        {
            "id": outcome.rule.id,
            "verdict": outcome.verdict,
            "observed": outcome.observed,
            "rule": outcome.rule.sentence,
            "source": outcome.rule.source,
        }
        for outcome in outcomes
    ]
    return json.dumps(rows, indent=2)
