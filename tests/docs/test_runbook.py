"""The runbook knows every line of the log and every metric, as the code has them, and no others."""

from __future__ import annotations

import ast

from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics
from deploy.running import ROOT
from tests.support.documents import calls_in, matches, name_of, quoted, rows, text_of

SUPERVISOR = ROOT / "app" / "cli" / "supervisor.py"
SECTIONS = ("## Start and stop", "## ROMs", "## Requests")


def logged() -> dict[str, tuple[set[str], set[str]]]:
    """Levels and fields of each event: from the calls of `log_event`, and from those that are given it to call."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for call in calls_in(ROOT / "app"):
        names = [name_of(call.func), *map(name_of, call.args)]
        if "log_event" not in names:
            continue
        event = text_of(call.args[names.index("log_event")])
        assert "..." not in event, f"line {call.lineno}: an event is a constant"
        levels, fields = found.setdefault(event, (set(), set()))
        options = {one.arg: one.value for one in call.keywords if one.arg}
        levels.add("error" if "error" in options else text_of(options.get("level", ast.Constant("info"))))
        fields |= options.keys() - {"error", "level"}
    return found


def test_every_event_of_the_log_is_told_with_its_levels_and_fields() -> None:
    told = {
        row[0].strip("`"): (set(row[1].split(", ")), set(quoted(row[2])))
        for section in SECTIONS
        for row in rows("docs/logs.md", section)
    }
    assert told == logged()


def test_every_line_of_the_supervisor_is_told() -> None:
    said = {text_of(call.args[0]) for call in calls_in(SUPERVISOR) if name_of(call.func) == "_say"}
    told = [quoted(row[0])[0] for row in rows("docs/logs.md", "## Other lines") if row[1] == "`serve`"]
    assert [line for line in said if not any(matches(one, line) for one in told)] == []
    assert [one for one in told if not any(matches(one, line) for line in said)] == []


def test_every_metric_is_told_with_its_type_and_labels() -> None:
    metrics = Metrics()
    metrics.observe_request(200, "a", 1.0)
    metrics.observe_step("a", 1, 1.0)
    for observe in (metrics.observe_load, metrics.observe_queue_wait, metrics.observe_upscale):
        observe("a", 1.0)
    there = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(metrics.render().decode())
        if not family.name.endswith("_created")
    }
    table = rows("docs/metrics.md", "# Metrics")
    assert {row[0].strip("`"): (row[1], set(quoted(row[2]))) for row in table} == there
