"""Rules of the start. Only a container that is started here can break them."""

from __future__ import annotations

from deploy.local.conformance.rule import Broken, Skipped, rule
from deploy.local.conformance.subject import Subject, summary


@rule(
    "serve-argument", "Started with the argument `serve` it keeps running.", "SageMaker guide: how the container is run"
)
def serve_argument(subject: Subject) -> str:
    start = subject.started()
    if start.status is not None:
        raise Broken(f"it ended with status {start.status}")
    return "it runs"


@rule(
    "start-window",
    "Within 8 minutes of its start GET /ping answers 200, and goes on doing so.",
    "SageMaker guide: the container must respond with 200 within 8 minutes, consistently",
)
def start_window(subject: Subject) -> str:
    start = subject.started()
    if start.ready_s is None:
        raise Broken(f"not within {subject.asked.limits.start_s:g} s: {start.last.reason if start.last else 'no ping'}")
    if not start.steady:
        raise Broken(f"200 after {start.ready_s:.1f} s, and then not again")
    return f"200 after {start.ready_s:.1f} s"


@rule(
    "ready-is-true",
    "What /ping first calls ready serves the next request.",
    "SageMaker guide: once InService, requests are routed to the container",
)
def ready_is_true(subject: Subject) -> str:
    start = subject.started()
    if start.first is None:
        raise Skipped("it was never ready")
    if isinstance(start.first, str):
        raise Broken(f"/ping was 200, and the next request got no answer: {start.first}")
    if start.first.status_code >= 500:
        raise Broken(f"/ping was 200, and the next request was answered {summary(start.first)}")
    return f"answered {start.first.status_code}"
