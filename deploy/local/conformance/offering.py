"""Rules of routes that a container may have, and must then have as the platform reads them."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.conformance.rule import Broken, Skipped, rule
from deploy.local.conformance.subject import Subject, summary


def offered(subject: Subject, path: str) -> httpx.Response:
    """Raises Skipped where there is no such route."""
    answer = subject.get(path)
    if answer.status_code in (404, 405, 501):
        raise Skipped(f"GET {path} is answered {answer.status_code}: not offered")
    if not answer.is_success:
        raise Broken(f"answered {summary(answer)}")
    return answer


@rule("metrics", "GET /metrics, where there is one, is in Prometheus' format.", "botocore: ContainerMetricsConfig")
def metrics(subject: Subject) -> str:
    answer = offered(subject, "/metrics")
    try:
        families = list(text_string_to_metric_families(answer.text))
    except ValueError as error:
        raise Broken(f"not in its format: {error}") from error
    return f"{len(families)} metrics"


@rule(
    "execution-parameters",
    "GET /execution-parameters, where there is one, is what batch transform reads.",
    "SageMaker guide 2023: your-algorithms-batch-code",
)
def execution_parameters(subject: Subject) -> str:
    answer = offered(subject, "/execution-parameters")
    try:
        content = answer.json()
    except ValueError as error:
        raise Broken(f"no JSON: {summary(answer)}") from error
    missing = {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"} - set(content)
    if missing:
        raise Broken(f"without {', '.join(sorted(missing))}")
    return str(content)
