"""Two ROMs that do not fit together: who goes first, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from app.model_cache import ModelCache
from app.roms.catalog import Rom
from deploy.running import wait_until
from tests.support.loader import PATIENCE_S, Loader
from tests.support.roms import make_rom

A, B = make_rom("a", 10), make_rom("b", 10)
ROOM_FOR_ONE = 10


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def borrow(cache: ModelCache, rom: Rom) -> None:
    with cache.lease(rom, PATIENCE_S):
        pass


def ask_for_b(callers: ThreadPoolExecutor, cache: ModelCache) -> Future[None]:
    """A request that waits until A makes room."""
    waiting = callers.submit(borrow, cache, B)
    wait_until(lambda: cache.waiting_for_room() == 1, PATIENCE_S)
    return waiting


def test_requests_for_what_is_resident_are_served_together_before_the_switch(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    cache = loader.cache(ROOM_FOR_ONE)
    with cache.lease(A):
        waiting = ask_for_b(callers, cache)
        for _ in range(3):
            callers.submit(borrow, cache, A).result(PATIENCE_S)
    waiting.result(PATIENCE_S)
    assert loader.loads == ["a", "b"]


def test_a_rom_in_constant_use_makes_way_for_one_that_has_waited_long_enough(callers: ThreadPoolExecutor) -> None:
    loader = Loader()
    cache = loader.cache(ROOM_FOR_ONE, max_wait_s=0)
    with ExitStack() as first:
        first.enter_context(cache.lease(A))
        waiting = ask_for_b(callers, cache)
        late = callers.submit(borrow, cache, A)
        first.close()
        waiting.result(PATIENCE_S)
        late.result(PATIENCE_S)
    assert loader.loads == ["a", "b", "a"]


def ask_twice_for_b(callers: ThreadPoolExecutor, cache: ModelCache) -> list[Future[None]]:
    waiting = [callers.submit(borrow, cache, B) for _ in range(2)]
    wait_until(lambda: cache.waiting_for_room() == 2, PATIENCE_S)
    return waiting


def test_two_who_wait_for_one_rom_do_not_wait_for_each_other(callers: ThreadPoolExecutor) -> None:
    """Nor for one who was done before the other woke: the order is chance, hence the rounds."""
    for _ in range(150):
        loader = Loader()
        cache = loader.cache(ROOM_FOR_ONE, max_wait_s=0)
        with cache.lease(A):
            waiting = ask_twice_for_b(callers, cache)
        for one in waiting:
            one.result(PATIENCE_S)
        assert loader.loads == ["a", "b"]
        assert cache.waiting_for_room() == 0
