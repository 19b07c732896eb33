"""The state that `/ping` reads moves forward only."""

from __future__ import annotations

import pytest

from app.core import Health
from app.health import HealthMonitor


def reached(*states: Health) -> HealthMonitor:
    monitor = HealthMonitor()
    for state in states:
        monitor.become(state, f"became {state.value}")
    return monitor


def test_starts_with_a_reason() -> None:
    health, reason = HealthMonitor().read()
    assert health is Health.STARTING
    assert reason


@pytest.mark.parametrize("outcome", [Health.READY, Health.SETUP_FAILED])
def test_set_up_ends_in(outcome: Health) -> None:
    assert reached(outcome).read() == (outcome, f"became {outcome.value}")


@pytest.mark.parametrize("before", [Health.STARTING, Health.READY, Health.SETUP_FAILED])
def test_anything_can_drain(before: Health) -> None:
    monitor = HealthMonitor() if before is Health.STARTING else reached(before)
    monitor.become(Health.DRAINING, "stopping")
    assert monitor.read() == (Health.DRAINING, "stopping")


@pytest.mark.parametrize(
    ("settled", "attempt"),
    [
        (Health.DRAINING, Health.READY),
        (Health.DRAINING, Health.SETUP_FAILED),
        (Health.READY, Health.STARTING),
        (Health.READY, Health.SETUP_FAILED),
        (Health.SETUP_FAILED, Health.READY),
    ],
)
def test_nothing_moves_back(settled: Health, attempt: Health) -> None:
    assert reached(settled, attempt).read()[0] is settled


def test_progress_is_what_starting_waits_for() -> None:
    monitor = HealthMonitor()
    monitor.report_progress("loading ROM shapes")
    assert monitor.read() == (Health.STARTING, "loading ROM shapes")


@pytest.mark.parametrize("settled", [Health.READY, Health.SETUP_FAILED, Health.DRAINING])
def test_progress_does_not_change_the_reason_of_another_state(settled: Health) -> None:
    monitor = reached(settled)
    monitor.report_progress("loading ROM shapes")
    assert monitor.read() == (settled, f"became {settled.value}")
