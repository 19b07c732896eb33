"""What is resident, and who goes when room is needed."""

from __future__ import annotations

import pytest

from app.backends.base import LoadedModel
from app.errors import ManifestError, NotReady, OutOfRomMemory
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from tests.support.loader import PATIENCE_S, Loader, WatchedBackend, footprint_of
from tests.support.roms import make_rom

A, B, C = (make_rom(rom_id, 10) for rom_id in "abc")


def use(cache: ModelCache, *roms: Rom, timeout_s: float = PATIENCE_S) -> None:
    for rom in roms:
        with cache.lease(rom, timeout_s):
            pass


def test_resident_rom_is_not_loaded_again() -> None:
    loader = Loader()
    use(loader.cache(100), A, A, B, A)
    assert loader.loads == ["a", "b"]


def test_leases_of_one_rom_share_one_backend() -> None:
    cache = Loader().cache(100)
    with cache.lease(A) as first, cache.lease(A) as second:
        assert first is second


def test_least_recently_used_rom_goes_first() -> None:
    loader = Loader()
    cache = loader.cache(30)
    use(cache, A, B, C, A, make_rom("d", 10))
    assert loader.unloads == ["b"]
    assert cache.resident() == ["c", "a", "d"]


def test_as_many_go_as_the_bytes_need_and_no_more() -> None:
    loader = Loader()
    cache = loader.cache(30)
    use(cache, A, B, C, make_rom("d", 15))
    assert loader.unloads == ["a", "b"]
    assert cache.resident_bytes() == 25


def test_rom_that_goes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cartridge")
    use(Loader().cache(20), A, B, C)
    assert [(line.message, vars(line)["fields"]) for line in caplog.records] == [("rom_unloaded", {"rom": "a"})]


def test_rom_that_exactly_fits_evicts_nobody() -> None:
    loader = Loader()
    cache = loader.cache(20)
    use(cache, A, B)
    assert (loader.unloads, cache.resident_bytes()) == ([], 20)


def test_leased_rom_is_never_evicted() -> None:
    loader = Loader()
    cache = loader.cache(20)
    with cache.lease(A):
        use(cache, B, C)
        assert cache.resident() == ["a", "c"]
    assert loader.unloads == ["b"]


def test_rom_leased_twice_stays_until_both_have_let_go() -> None:
    loader = Loader()
    cache = loader.cache(10)
    with cache.lease(A):
        use(cache, A)
        with pytest.raises(NotReady):
            use(cache, B, timeout_s=0)
    use(cache, B)
    assert loader.unloads == ["a"]


def test_nobody_is_evicted_for_a_rom_that_cannot_have_room_yet() -> None:
    loader = Loader()
    cache = loader.cache(30)
    use(cache, B)
    with cache.lease(make_rom("big", 20)), pytest.raises(NotReady) as raised:
        use(cache, make_rom("other", 20), timeout_s=0)
    assert raised.value.retry_after_s
    assert loader.unloads == []


def test_rom_larger_than_the_whole_budget_is_refused_at_once() -> None:
    loader = Loader()
    cache = loader.cache(30)
    use(cache, A)
    with pytest.raises(OutOfRomMemory, match=r"31.*30"):
        use(cache, make_rom("huge", 31))
    assert (loader.loads, loader.unloads) == (["a"], [])


def test_budget_can_be_told_later() -> None:
    cache = Loader().cache(0)
    with pytest.raises(OutOfRomMemory):
        use(cache, A)
    cache.set_capacity(10)
    use(cache, A)
    assert cache.resident() == ["a"]


def test_budget_counts_what_a_loaded_rom_really_takes() -> None:
    cache = ModelCache(lambda rom: WatchedBackend("a", {"a": 14}, Loader()), footprint_of, 30)
    use(cache, A)
    assert cache.resident_bytes() == 14


def test_load_that_fails_leaves_nothing_behind_and_the_next_one_may_succeed() -> None:
    loader = Loader()
    loader.failures = {"a": 1}
    cache = loader.cache(10)
    with pytest.raises(ManifestError):
        use(cache, A)
    assert (cache.resident(), cache.resident_bytes()) == ([], 0)
    use(cache, B, A)
    assert loader.loads == ["a", "b", "a"]


def test_room_made_for_a_load_that_fails_is_free_again() -> None:
    loader = Loader()
    loader.failures = {"c": 1}
    cache = loader.cache(20)
    use(cache, A, B)
    with pytest.raises(ManifestError):
        use(cache, C)
    assert cache.resident() == ["b"]


def test_error_while_in_use_lets_go_of_the_rom() -> None:
    loader = Loader()
    cache = loader.cache(10)
    with pytest.raises(ZeroDivisionError), cache.lease(A):
        raise ZeroDivisionError
    use(cache, B)
    assert loader.unloads == ["a"]


def test_unloading_what_is_idle_leaves_what_is_leased() -> None:
    loader = Loader()
    cache = loader.cache(30)
    use(cache, A, C)
    with cache.lease(B):
        cache.unload_idle()
        assert cache.resident() == ["b"]
    assert sorted(loader.unloads) == ["a", "c"]


def test_evicted_rom_is_loaded_anew() -> None:
    loader = Loader()
    cache = loader.cache(10)
    seen: list[LoadedModel] = []
    for rom in (A, B, A):
        with cache.lease(rom) as backend:
            seen.append(backend)
    assert loader.loads == ["a", "b", "a"]
    assert seen[0] is not seen[2]
