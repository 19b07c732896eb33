"""A running service, as the composition root hands it to those who expose it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.health import HealthMonitor
from app.invoker.hosted import HostedModels
from app.invoker.invoker import Invoker
from app.invoker.jobs import Jobs
from app.metrics import Metrics
from app.roms.catalog import Rom
from app.roms.memory import MemoryNeed


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
    hosted: HostedModels | None  # where the platform says which models there are
    memory_of: Callable[[Rom], MemoryNeed | None]  # None where nothing is foretold, or not yet
