"""Two tiers: weights that have to leave the device wait in the host's memory, as many as it takes."""

from __future__ import annotations

from app.model_cache import ModelCache
from app.roms.catalog import Rom
from tests.support.loader import PATIENCE_S, Loader
from tests.support.roms import make_rom

A, B, C = (make_rom(rom_id, 10) for rom_id in "abc")


def use(cache: ModelCache, *roms: Rom) -> None:
    for rom in roms:
        with cache.lease(rom, PATIENCE_S):
            pass


def test_the_one_that_goes_is_parked_and_comes_back_without_a_load() -> None:
    loader = Loader()
    cache = loader.cache(10, host_bytes=10)
    use(cache, A, B, A)
    assert (loader.loads, loader.unloads) == (["a", "b"], [])
    assert (loader.parks, loader.resumes) == (["a", "b"], ["a"])
    assert (cache.resident(), cache.parked(), cache.resident_bytes()) == (["a"], ["b"], 10)


def test_a_full_host_lets_go_of_the_one_that_waits_longest() -> None:
    loader = Loader()
    cache = loader.cache(10, host_bytes=10)
    use(cache, A, B, C)
    assert (loader.unloads, cache.parked()) == (["a"], ["b"])


def test_what_the_host_cannot_take_is_unloaded() -> None:
    loader = Loader()
    cache = loader.cache(10, host_bytes=9)
    use(cache, A, B)
    assert (loader.parks, loader.unloads) == ([], ["a"])


def test_a_parked_rom_is_there_sooner_than_one_on_disk() -> None:
    cache = Loader().cache(10, host_bytes=10)
    use(cache, A, B)
    assert 0 < cache.expected_load_s(A) < cache.expected_load_s(C)
    assert cache.expected_load_s(B) == 0


def test_a_parked_rom_can_be_told_to_go() -> None:
    loader = Loader()
    cache = loader.cache(10, host_bytes=10)
    use(cache, A, B)
    assert cache.unload("a")
    assert (loader.unloads, cache.parked()) == (["a"], [])
