"""Which ROM answers: a table."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.errors import InvalidRequest, NotReady, RomUnavailable, UnknownRom
from app.invoker.router import route
from app.roms.catalog import Catalog
from tests.support.roms import make_rom


@dataclass(frozen=True)
class Case:
    says: str
    chosen: str
    reason: str
    model: str = "auto"
    roms: tuple[str, ...] = ("a", "b", "c")
    resident: tuple[str, ...] = ()
    default_rom: str | None = None

    def __str__(self) -> str:
        return self.says


CASES = [
    Case("named", "b", "named by the request", model="b"),
    Case("named beats the default", "b", "named by the request", model="b", default_rom="c"),
    Case("named beats what is resident", "b", "named by the request", model="b", resident=("a",)),
    Case("configured default", "c", "the configured default", default_rom="c"),
    Case("configured default beats what is resident", "c", "the configured default", resident=("a",), default_rom="c"),
    Case("only one", "a", "the only ROM", roms=("a",)),
    Case("one that is resident", "b", "the first ROM that is resident", resident=("b",)),
    Case("first that is resident, in catalog order", "b", "the first ROM that is resident", resident=("c", "b")),
    Case("none is resident", "a", "the first ROM of the catalog"),
]


def catalog_of(*rom_ids: str) -> Catalog:
    return Catalog({rom_id: make_rom(rom_id) for rom_id in rom_ids})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_choice_and_its_reason(case: Case) -> None:
    decision = route(case.model, catalog_of(*case.roms), case.resident, case.default_rom)
    assert (decision.rom_id, decision.reason) == (case.chosen, case.reason)
    assert decision.resident is (case.chosen in case.resident)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_best_score_is_that_of_the_chosen(case: Case) -> None:
    scores = route(case.model, catalog_of(*case.roms), case.resident, case.default_rom).scores
    assert max(scores, key=lambda rom_id: scores[rom_id]) == case.chosen
    assert set(scores) == ({case.chosen} if case.model != "auto" else set(case.roms))


def test_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownRom):
        route("d", catalog_of("a"), (), None)


@pytest.mark.parametrize(("model", "default_rom"), [("b", None), ("auto", "b")])
def test_broken_rom_that_is_named_is_not_silently_replaced(model: str, default_rom: str | None) -> None:
    catalog = catalog_of("a", "b")
    catalog.quarantine("b", "its digest is wrong")
    with pytest.raises(RomUnavailable, match="its digest is wrong"):
        route(model, catalog, (), default_rom)


def test_without_any_rom_the_reasons_are_told() -> None:
    catalog = catalog_of("a")
    catalog.quarantine("a", "its digest is wrong")
    with pytest.raises(NotReady, match="a: its digest is wrong"):
        route("auto", catalog, (), None)
    with pytest.raises(NotReady, match="no ROM"):
        route("auto", Catalog(), (), None)


def test_a_rom_that_others_use_is_none_for_requests() -> None:
    catalog = Catalog({"clip": make_rom("clip", family="clip"), "a": make_rom("a")})
    assert route("auto", catalog, (), None).rom_id == "a"
    with pytest.raises(InvalidRequest, match="'clip' makes no images"):
        route("clip", catalog, (), None)
    with pytest.raises(InvalidRequest, match="'clip' makes no images"):
        route("auto", catalog, (), "clip")
