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


@pytest.mark.parametrize("outcome", [Health.READY, Health.SETUP_FAILED, Health.DEVICE_FAILED])
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
        (Health.DEVICE_FAILED, Health.READY),
    ],
)
def test_nothing_moves_back(settled: Health, attempt: Health) -> None:
    assert reached(settled, attempt).read()[0] is settled


def test_what_was_mended_after_all_is_ready() -> None:
    assert reached(Health.SETUP_FAILED, Health.READY).read()[0] is Health.READY


def test_progress_is_what_starting_waits_for() -> None:
    monitor = HealthMonitor()
    monitor.report_progress("loading ROM shapes")
    assert monitor.read() == (Health.STARTING, "loading ROM shapes")


@pytest.mark.parametrize("settled", [Health.READY, Health.SETUP_FAILED, Health.DRAINING])
def test_progress_does_not_change_the_reason_of_another_state(settled: Health) -> None:
    monitor = reached(settled)
    monitor.report_progress("loading ROM shapes")
    assert monitor.read() == (settled, f"became {settled.value}")


def test_device_that_is_lost_ends_ready_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    monitor = reached(Health.READY)
    for reason in ("an illegal memory access", "and another"):
        monitor.lose_device(reason)
    assert monitor.read() == (Health.DEVICE_FAILED, "an illegal memory access")
    assert [(line.levelname, line.message) for line in caplog.records] == [("ERROR", "device_failed")]


@pytest.mark.parametrize(("stalled_s", "health"), [(9.0, Health.READY), (11.0, Health.STALLED)])
def test_ready_reads_as_stalled_after_the_time_that_was_set(stalled_s: float, health: Health) -> None:
    monitor = HealthMonitor(stall_after_s=10.0)
    monitor.become(Health.READY, "ready")
    monitor.watch(lambda: stalled_s)
    assert monitor.read()[0] is health


def test_engine_that_goes_on_is_ready_again_and_each_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cartridge")
    times = [11.0, 12.0, 0.0, 0.0]
    monitor = HealthMonitor(stall_after_s=10.0)
    monitor.become(Health.READY, "ready")
    monitor.watch(lambda: times.pop(0))
    assert [monitor.read()[0] for _ in range(4)] == [Health.STALLED, Health.STALLED, Health.READY, Health.READY]
    assert [line.message for line in caplog.records] == ["engine_stalled", "engine_resumed"]


def test_service_that_stops_is_not_stalled() -> None:
    monitor = HealthMonitor(stall_after_s=10.0)
    monitor.become(Health.DRAINING, "stopping")
    monitor.watch(lambda: 100.0)
    assert monitor.read()[0] is Health.DRAINING
