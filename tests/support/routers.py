"""A router over ROMs of the fake family, as a service has it, with an engine that stands still."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any

from app.backends.base import LoadedModel
from app.core import GenerationParams, GenerationRequest, RoutingOptions
from app.engine.engine import Engine
from app.imaging import Pixels
from app.invoker.domains import DomainReader
from app.invoker.embedder import RomEmbedder
from app.invoker.router import Router, RouterOptions
from app.invoker.supply import Supply
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from tests.support.bench import StepLog
from tests.support.loader import Loader, footprint_of, library_of

WEIGHTS = {"rules": 1.0, "classifier": 1.0, "similarity": 1.0}


def make_router(
    supply: Supply,
    engine: Future[Engine],
    embedder: RomEmbedder | None = None,
    default_rom: str | None = None,
    price: float = 1.0,
) -> Router:
    reader = DomainReader(WEIGHTS, embedder or RomEmbedder(supply))
    return Router(supply, engine, reader, RouterOptions(default_rom, price))


class RouterStand:
    """Its ROMs, of which some are resident."""

    def __init__(
        self,
        *roms: Rom,
        resident: Collection[str] = (),
        load: Callable[[Rom], LoadedModel] | None = None,
        default_rom: str | None = None,
    ) -> None:
        self.library = library_of(*roms)
        self.catalog = self.library.catalog
        self.cache = ModelCache(load or Loader().load, footprint_of, 10**9)
        self.engine = Engine(4, StepLog())
        started: Future[Engine] = Future()
        started.set_result(self.engine)
        supply = Supply(self.library, self.cache)
        self.embedder = RomEmbedder(supply)
        self.router = make_router(supply, started, self.embedder, default_rom)
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
        picture: Pixels | None = None,
        **params: Any,
    ) -> Any:
        asked = GenerationParams(prompt, **params)
        request = GenerationRequest("r1", asked, model=model, routing=routing or RoutingOptions())
        return self.router.explain(request, timeout_s, picture)
