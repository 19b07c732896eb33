"""A running service, as the composition root hands it to those who expose it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.health import HealthMonitor
from app.invoker.invoker import Invoker
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
    workers: ThreadPoolExecutor  # a thread for every request that waits
    options: ServiceOptions
