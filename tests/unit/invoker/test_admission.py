"""The door: who may come in, and how many are inside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core import Health
from app.errors import NotReady, Overloaded
from app.health import HealthMonitor
from app.invoker.admission import Admission
from app.metrics import Metrics

PATIENCE_S = 120.0  # only a test that fails, or a machine that starves it, waits this long


def door(places: int, *states: Health) -> tuple[Admission, Metrics]:
    health, metrics = HealthMonitor(), Metrics()
    for state in states:
        health.become(state, f"it is {state.value}")
    return Admission(places, health, metrics), metrics


def test_ready_service_lets_in_as_many_as_there_are_places() -> None:
    admission, _ = door(2, Health.READY)
    refused = pytest.raises(Overloaded, match="2 requests")
    with admission.enter(), admission.enter(), refused as raised, admission.enter():
        pass
    assert raised.value.retry_after_s


def test_place_is_free_again_when_its_holder_leaves() -> None:
    admission, _ = door(1, Health.READY)
    for _ in range(3):
        with admission.enter():
            pass
    with pytest.raises(ZeroDivisionError), admission.enter():
        raise ZeroDivisionError
    with admission.enter():
        pass


@pytest.mark.parametrize("states", [(), (Health.SETUP_FAILED,), (Health.READY, Health.DRAINING)])
def test_service_that_is_not_ready_refuses_with_its_reason(states: tuple[Health, ...]) -> None:
    admission, _ = door(2, *states)
    expected = f"it is {states[-1].value}" if states else "starting"
    with pytest.raises(NotReady, match=expected) as raised, admission.enter():
        pass
    assert raised.value.retry_after_s


def test_refused_takes_no_place() -> None:
    admission, _ = door(1, Health.READY)
    with admission.enter(), pytest.raises(Overloaded), admission.enter():
        pass
    assert admission.wait_until_empty(0)


def test_empty_is_when_everyone_has_left() -> None:
    admission, _ = door(2, Health.READY)
    assert admission.wait_until_empty(0)
    with ThreadPoolExecutor(1) as pool:
        with admission.enter():
            assert not admission.wait_until_empty(0)
            waiting = pool.submit(admission.wait_until_empty, PATIENCE_S)
        assert waiting.result(PATIENCE_S) is True


def test_queue_depth_is_who_is_inside() -> None:
    admission, metrics = door(2, Health.READY)
    with admission.enter(), admission.enter():
        assert b"cartridge_queue_depth 2.0" in metrics.render()
    assert b"cartridge_queue_depth 0.0" in metrics.render()
