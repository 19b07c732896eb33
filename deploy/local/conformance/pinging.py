"""Rules of /ping."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from deploy.local.conformance.rule import Broken, rule
from deploy.local.conformance.subject import Subject


@rule(
    "ping-accept",
    "A connection is accepted within 250 ms.",
    "SageMaker guide: must accept socket connections within 250 ms",
)
def ping_accept(subject: Subject) -> str:
    subject.alive()
    made = subject.patient_ping
    if made.accept_s is None or made.accept_s > subject.asked.limits.accept_s:
        raise Broken(made.reason if made.accept_s is None else f"after {made.accept_s * 1000:.0f} ms")
    return f"{made.accept_s * 1000:.1f} ms"


@rule(
    "ping-status",
    "GET /ping answers 200; a redirect is not followed.",
    "SageMaker guide: an HTTP 200 is all that is needed",
)
def ping_status(subject: Subject) -> str:
    subject.running()
    made = subject.patient_ping
    if not made.is_healthy:
        raise Broken(made.reason)
    return made.reason


@rule(
    "ping-time",
    "GET /ping answers within 2 seconds.",
    "SageMaker guide: the request timeout on /ping attempts is 2 seconds",
)
def ping_time(subject: Subject) -> str:
    subject.running()
    made = subject.patient_ping
    if made.answer_s is None or made.answer_s > subject.asked.limits.ping_s:
        raise Broken(made.reason if made.answer_s is None else f"after {made.answer_s:.1f} s")
    return f"{made.answer_s * 1000:.0f} ms"


@rule(
    "ping-under-load",
    "While a request is served, GET /ping answers 200 within 2 seconds.",
    "SageMaker guide: probes go on in service, and a container that fails them is replaced",
)
def ping_under_load(subject: Subject) -> str:
    subject.served()
    with ThreadPoolExecutor(1) as threads:
        request = threads.submit(subject.post, subject.asked.body)
        made = [subject.ping()]
        while not request.done():
            made.append(subject.ping())
        failed = [one.reason for one in made if not one.is_healthy]
    if failed:
        raise Broken(f"{len(failed)} of {len(made)} failed: {failed[0]}")
    return f"{len(made)} of {len(made)} answered 200"


@rule(
    "ping-post",
    "POST /ping is answered as GET is.",
    "SageMaker guide: must accept POST requests to /invocations and /ping",
)
def ping_post(subject: Subject) -> str:
    subject.running()
    made = subject.ping_patiently("POST")
    if not made.is_healthy:
        raise Broken(made.reason)
    return made.reason
