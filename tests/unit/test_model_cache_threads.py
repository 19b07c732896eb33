"""Callers that come at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.backends.base import LoadedModel
from app.errors import Cancelled, ManifestError, NotReady
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from deploy.running import wait_until
from tests.support.loader import PATIENCE_S, Loader
from tests.support.roms import make_rom

A, B = make_rom("a", 10), make_rom("b", 10)
CALLERS = 6


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CALLERS) as pool:
        yield pool


def borrow(cache: ModelCache, rom: Rom) -> LoadedModel:
    with cache.lease(rom, PATIENCE_S) as backend:
        return backend


def wait_until_asked(loader: Loader, times: int) -> None:
    for _ in range(times):
        assert loader.asked.acquire(timeout=PATIENCE_S)


def test_rom_that_many_ask_for_at_once_is_loaded_once(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    loader.close_gate()
    cache = loader.cache(100)
    loans = [callers.submit(borrow, cache, A) for _ in range(CALLERS)]
    wait_until_asked(loader, CALLERS)
    loader.gate.set()
    assert len({id(loan.result(PATIENCE_S)) for loan in loans}) == 1
    assert loader.loads == ["a"]


def test_those_who_wait_for_a_load_that_fails_try_for_themselves(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    loader.failures = {"a": 1}
    loader.close_gate()
    cache = loader.cache(100)
    loans = [callers.submit(borrow, cache, A) for _ in range(CALLERS)]
    wait_until_asked(loader, CALLERS)
    loader.gate.set()
    errors = [loan.exception(PATIENCE_S) for loan in loans]
    assert [type(error) for error in errors if error] == [ManifestError]
    assert loader.loads == ["a", "a"]


def test_other_roms_are_leased_while_one_is_loading(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    cache = loader.cache(100)
    resident = borrow(cache, B)
    loader.close_gate()
    loading = callers.submit(borrow, cache, A)
    assert loader.entered.wait(PATIENCE_S)
    assert borrow(cache, B) is resident
    assert cache.resident() == ["b"]
    loader.gate.set()
    loading.result(PATIENCE_S)


def test_rom_that_is_loading_has_its_room_and_is_not_evicted(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    loader.close_gate()
    cache = loader.cache(10)
    loading = callers.submit(borrow, cache, A)
    assert loader.entered.wait(PATIENCE_S)
    with pytest.raises(NotReady), cache.lease(B, timeout_s=0):
        pass
    assert (loader.loads, cache.resident_bytes()) == (["a"], 10)
    loader.gate.set()
    loading.result(PATIENCE_S)


def test_lease_waits_until_room_is_released(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    cache = loader.cache(10)
    with cache.lease(A):
        wait_until_asked(loader, 1)
        waiting = callers.submit(borrow, cache, B)
        wait_until_asked(loader, 1)
        assert loader.loads == ["a"]
    waiting.result(PATIENCE_S)
    assert (loader.loads, loader.unloads) == (["a", "b"], ["a"])


def test_lease_that_waits_for_a_budget_gets_it_when_it_grows(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    cache = loader.cache(10)
    with cache.lease(A):
        wait_until_asked(loader, 1)
        waiting = callers.submit(borrow, cache, B)
        wait_until_asked(loader, 1)
        cache.set_capacity(20)
        waiting.result(PATIENCE_S)
        assert cache.resident() == ["a", "b"]


def test_caller_who_gives_up_waiting_does_not_disturb_the_load(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    loader.close_gate()
    cache = loader.cache(10)
    loading = callers.submit(borrow, cache, A)
    assert loader.entered.wait(PATIENCE_S)
    with pytest.raises(NotReady), cache.lease(A, timeout_s=0):
        pass
    loader.gate.set()
    assert loading.result(PATIENCE_S) is borrow(cache, A)
    assert loader.loads == ["a"]


def test_load_goes_on_when_its_only_caller_has_given_up() -> None:
    loader = Loader()
    loader.close_gate()
    cache = loader.cache(10)
    with pytest.raises(NotReady), cache.lease(A, timeout_s=0):
        pass
    loader.gate.set()
    assert borrow(cache, A)
    assert loader.loads == ["a"]


def test_cancelled_caller_is_answered_while_the_load_goes_on(callers: ThreadPoolExecutor) -> None:
    loader, cancelled = Loader(), Future[None]()
    loader.close_gate()
    cache = loader.cache(10)

    def wait_for_it() -> None:
        with cache.lease(A, PATIENCE_S, cancelled):
            pass

    waiting = callers.submit(wait_for_it)
    assert loader.entered.wait(PATIENCE_S)
    cancelled.set_result(None)
    assert isinstance(waiting.exception(PATIENCE_S), Cancelled)
    loader.gate.set()
    assert borrow(cache, A)
    assert loader.loads == ["a"]


def test_rom_told_to_go_while_it_is_loading_goes_after_those_who_wait_for_it(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    loader.close_gate()
    cache = loader.cache(10)
    waiting = callers.submit(borrow, cache, A)
    assert loader.entered.wait(PATIENCE_S)
    going = callers.submit(cache.unload, "a", PATIENCE_S)
    loader.gate.set()
    assert going.result(PATIENCE_S)
    waiting.result(PATIENCE_S)
    assert (loader.unloads, cache.resident(), cache.resident_bytes()) == (["a"], [], 0)


def test_rom_told_to_go_while_leased_goes_at_the_end_of_the_lease_and_is_loaded_anew(
    callers: ThreadPoolExecutor,
) -> None:
    loader = Loader()
    cache = loader.cache(10)
    with cache.lease(A) as first:
        wait_until_asked(loader, 1)
        going = callers.submit(cache.unload, "a", PATIENCE_S)
        wait_until(lambda: not cache.holds("a"), PATIENCE_S)
        late = callers.submit(borrow, cache, A)
        wait_until_asked(loader, 1)
        assert loader.unloads == []
    assert going.result(PATIENCE_S)
    assert late.result(PATIENCE_S) is not first
    assert loader.loads == ["a", "a"]
