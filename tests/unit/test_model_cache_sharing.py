"""ROMs that have parts in common: each part is counted once, and evicting one frees what is its own."""

from __future__ import annotations

import pytest

from app.errors import NotReady, OutOfRomMemory
from app.model_cache import ModelCache
from app.residency import Footprint
from app.roms.catalog import Rom
from tests.support.loader import PATIENCE_S, Loader, footprint_of
from tests.support.roms import make_rom, rom_of_parts

SHAPES = rom_of_parts("shapes", {"text": 10, "vae": 10, "shapes unet": 30})
SKETCH = rom_of_parts("sketch", {"text": 10, "vae": 10, "sketch unet": 30})
OTHER = make_rom("other", 25)


def use(cache: ModelCache, *roms: Rom) -> None:
    for rom in roms:
        with cache.lease(rom, PATIENCE_S):
            pass


def test_a_variant_costs_what_is_its_own() -> None:
    cache = Loader().cache(100)
    use(cache, SHAPES)
    assert (cache.resident_bytes(), cache.shared_bytes("shapes")) == (50, 0)
    use(cache, SKETCH)
    assert (cache.resident_bytes(), cache.shared_bytes("shapes"), cache.shared_bytes("sketch")) == (80, 20, 20)


def test_two_that_share_fit_where_two_that_do_not_would_not() -> None:
    loader = Loader()
    use(loader.cache(80), SHAPES, SKETCH)
    assert loader.unloads == []


def test_evicting_one_leaves_what_the_other_needs() -> None:
    loader = Loader()
    cache = loader.cache(90)
    use(cache, SHAPES, SKETCH, OTHER)
    assert loader.unloads == ["shapes"]
    assert cache.resident_bytes() == 75


def test_one_that_would_free_nothing_stays() -> None:
    """`twin` has no part of its own: that it goes would help nobody while `shapes` is in use."""
    loader = Loader()
    cache = loader.cache(90)
    twin = rom_of_parts("twin", {"text": 10, "vae": 10})
    use(cache, twin)
    with cache.lease(SHAPES):
        use(cache, make_rom("first", 40), make_rom("second", 40))
    assert loader.unloads == ["first"]


def test_room_for_one_image_is_kept_free_the_largest_of_all_roms() -> None:
    loader = Loader()
    reserves = {"a": 5, "b": 20}
    cache = ModelCache(loader.load, lambda rom: Footprint(footprint_of(rom).parts, reserves[rom.id]), 40)
    use(cache, make_rom("a", 10), make_rom("b", 10))
    assert (cache.resident(), cache.resident_bytes()) == (["a", "b"], 20)
    use(cache, make_rom("b", 15))
    cache.set_capacity(44)
    loader.unloads.clear()
    cache.unload_idle()
    use(cache, make_rom("a", 10), make_rom("b", 15))
    assert cache.resident() == ["b"]


def test_a_rom_that_leaves_no_room_for_an_image_never_fits() -> None:
    loader = Loader()
    cache = ModelCache(loader.load, lambda rom: Footprint(footprint_of(rom).parts, 21), 30)
    with pytest.raises(OutOfRomMemory, match="10 bytes and 21 for an image, the budget is 30"):
        use(cache, make_rom("a", 10))
    assert loader.loads == []


def test_a_pinned_rom_stays_and_others_make_way() -> None:
    loader = Loader()
    cache = loader.cache(60)
    cache.pin(SHAPES)
    use(cache, make_rom("a", 10), make_rom("b", 10))
    cache.unload_idle()
    assert loader.unloads == ["a", "b"]
    assert cache.resident() == ["shapes"]


def test_pinning_more_than_fits_is_refused_at_once() -> None:
    loader = Loader()
    cache = loader.cache(60)
    cache.pin(SHAPES)
    with pytest.raises(OutOfRomMemory, match="other"):
        cache.pin(OTHER)
    assert loader.loads == ["shapes"]


def test_what_is_told_to_go_goes_pinned_or_not() -> None:
    loader = Loader()
    cache = loader.cache(60)
    cache.pin(SHAPES)
    assert cache.unload("shapes")
    assert not cache.unload("shapes")
    assert (loader.unloads, cache.resident_bytes()) == (["shapes"], 0)


def test_what_is_in_use_is_not_told_to_go_before_its_time() -> None:
    loader = Loader()
    cache = loader.cache(60)
    with cache.lease(SHAPES):
        with pytest.raises(NotReady, match="still in use"):
            cache.unload("shapes", timeout_s=0)
        use(cache, SHAPES)
    assert (loader.loads, loader.unloads) == (["shapes"], [])


def test_only_what_has_been_idle_for_so_long_is_unloaded() -> None:
    cache = Loader().cache(60)
    use(cache, SHAPES)
    assert not cache.unload_idle(idle_s=PATIENCE_S)
    assert cache.unload_idle(idle_s=0)
    assert cache.resident() == []
