"""A running service, as the composition root hands it to those who expose it."""

from __future__ import annotations

from dataclasses import dataclass

from app.health import HealthMonitor
from app.invoker.invoker import Invoker
from app.invoker.jobs import Jobs
from app.metrics import Metrics


@dataclass(frozen=True)
class ServiceOptions:
    max_request_bytes: int
    drain_timeout_s: float
    log_prompts: bool


@dataclass(frozen=True)
class Service:
    invoker: Invoker
    health: HealthMonitor
    metrics: Metrics
    jobs: Jobs
    options: ServiceOptions
