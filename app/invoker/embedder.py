"""The CLIP that tells how near a prompt is to what ROMs were made for: one of the catalog's, kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

import numpy as np

from app.invoker.supply import Supply
from app.logs import log_event
from app.roms.manifest import EMBEDDER_FAMILY

if TYPE_CHECKING:
    from app.backends.base import Embedder


class RomEmbedder:
    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._embedder: Embedder | None = None  # once it is in memory
        self._held = ExitStack()

    @property
    def is_there(self) -> bool:
        return self._embedder is not None

    def bring(self) -> None:
        """Load the first CLIP of the catalog and keep it. Raises a CartridgeError where that does not go."""
        rom = next((rom for rom in self._supply.library.catalog if rom.manifest.family == EMBEDDER_FAMILY), None)
        if rom is None or self.is_there:
            return
        rom = self._supply.library.fetch(rom).result()
        self._supply.cache.pin(rom)
        model = self._held.enter_context(self._supply.cache.lease(rom))  # for good: no prompt waits for a lease
        self._embedder = cast("Embedder", model)
        log_event("similarity_ready", rom=rom.id)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float64 [N, D]."""
        assert self._embedder is not None, "there is none"
        return self._embedder.texts(texts)

    def image(self, image: np.ndarray) -> np.ndarray:
        """A unit vector, float64 [D], of an RGB picture, uint8 [H, W, 3]."""
        assert self._embedder is not None, "there is none"
        return np.asarray(self._embedder.images([image])[0])
