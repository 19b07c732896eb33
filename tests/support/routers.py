"""A router over ROMs of the fake family, as a service has it, with an engine that stands still."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

from app.core import GenerationParams, GenerationRequest, RoutingOptions
from app.engine.engine import Engine
from app.invoker.domains import DomainReader
from app.invoker.embedder import RomEmbedder
from app.invoker.router import Router, RouterOptions
from app.invoker.supply import Supply
from app.roms.catalog import Rom
from tests.support.bench import StepLog
from tests.support.loader import Loader, library_of

WEIGHTS = {"rules": 1.0, "classifier": 1.0, "similarity": 1.0}


def make_router(supply: Supply, engine: Future[Engine], default_rom: str | None = None, price: float = 1.0) -> Router:
    return Router(supply, engine, DomainReader(WEIGHTS, RomEmbedder(supply)), RouterOptions(default_rom, price))


class RouterStand:
    """Its ROMs, of which some are resident."""

    def __init__(self, *roms: Rom, resident: Collection[str] = (), **options: Any) -> None:
        self.library = library_of(*roms)
        self.catalog = self.library.catalog
        self.loader = Loader()
        self.cache = self.loader.cache(10**9)
        self.engine = Engine(4, StepLog())
        started: Future[Engine] = Future()
        started.set_result(self.engine)
        self.router = make_router(Supply(self.library, self.cache), started, **options)
        for rom_id in resident:
            with self.cache.lease(self.catalog.get(rom_id)):
                pass

    def explain(
        self,
        prompt: str = "a lighthouse",
        *,
        model: str = "auto",
        timeout_s: float = 55.0,
        routing: RoutingOptions | None = None,
        **params: Any,
    ) -> Any:
        asked = GenerationParams(prompt, **params)
        request = GenerationRequest("r1", asked, model=model, routing=routing or RoutingOptions())
        return self.router.explain(request, timeout_s)
