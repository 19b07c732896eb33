"""Leases taken and returned in any order: the budget holds, and nobody's model is taken away."""

from __future__ import annotations

from contextlib import AbstractContextManager

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.backends.base import LoadedModel
from app.errors import ManifestError, NotReady
from tests.support.loader import PATIENCE_S, Loader
from tests.support.roms import make_rom

CAPACITY_BYTES = 30
ROMS = {name: make_rom(name, size) for name, size in {"a": 5, "b": 10, "c": 15, "d": 20}.items()}
NAMES = st.sampled_from(sorted(ROMS))


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loader = Loader()
        self.cache = self.loader.cache(CAPACITY_BYTES)
        self.held: list[tuple[str, AbstractContextManager[LoadedModel]]] = []

    @rule(name=NAMES)
    def borrow(self, name: str) -> None:
        others = {held for held, _ in self.held} - {name}
        fits = ROMS[name].num_parameters + sum(ROMS[held].num_parameters for held in others) <= CAPACITY_BYTES
        loan = self.cache.lease(ROMS[name], timeout_s=PATIENCE_S if fits else 0)
        try:
            loan.__enter__()
        except NotReady:
            assert not fits
        except ManifestError:
            assert name not in self.cache.resident()
        else:
            self.held.append((name, loan))

    @rule(which=st.integers(0, 9))
    def give_back(self, which: int) -> None:
        if self.held:
            _, loan = self.held.pop(which % len(self.held))
            loan.__exit__(None, None, None)

    @rule(name=NAMES)
    def damage(self, name: str) -> None:
        self.loader.failures[name] = 1

    @rule()
    def unload_idle(self) -> None:
        self.cache.unload_idle()
        assert set(self.cache.resident()) == {name for name, _ in self.held}

    @invariant()
    def budget_holds(self) -> None:
        assert self.cache.resident_bytes() == sum(ROMS[name].num_parameters for name in self.cache.resident())
        assert self.cache.resident_bytes() <= CAPACITY_BYTES

    @invariant()
    def leased_roms_are_resident(self) -> None:
        assert {name for name, _ in self.held} <= set(self.cache.resident())


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
