"""What the catalog's ROMs are good at, learned once for the catalog as it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from operator import is_not
from typing import TYPE_CHECKING

from app.core import GenerationRequest
from app.errors import InvalidRequest
from app.imaging import Pixels
from app.invoker.embedder import RomEmbedder
from app.logs import log_event
from app.roms.catalog import Rom
from app.roms.domain import Domain

if TYPE_CHECKING:
    from app.routing.domain_model import DomainModel, DomainVector
    from app.routing.similarity import Embed


class DomainReader:
    """Reads prompts. Many threads may; the first that meets a changed catalog learns it, and others wait for that."""

    def __init__(self, weights: Mapping[str, float], embedder: RomEmbedder) -> None:
        self._weights = weights  # of each source; 0 leaves it out
        self._embedder = embedder
        self._known: tuple[tuple[object, ...], DomainModel | None] = ((), None)
        self._learning = threading.Lock()

    def read(
        self, roms: Collection[Rom], among: Collection[Rom], request: GenerationRequest, image: Pixels | None = None
    ) -> DomainVector | None:
        """Which of the domains of `among`, which are of `roms`, the prompt is of; None where nothing tells them apart.

        An image that came along counts where similarity does.
        Raises InvalidRequest for a mode that there is not.
        """
        model = self.learn(roms)
        names = {rom.manifest.domain_name for rom in among}
        if model is None:
            return None
        mode = request.routing.mode
        if mode not in model.modes:
            reason = f"{mode!r} is not there; there are: {', '.join(model.modes)}"
            raise InvalidRequest(reason, param="routing.mode")
        embeds_it = image is not None and "similarity" in model.modes and mode in ("auto", "similarity")
        seen = self._embedder.image(image) if embeds_it and image is not None else None
        vector = model.read(request.params.prompt, mode, seen)
        kept = {name: share for name, share in vector.probabilities.items() if name in names}
        total = sum(kept.values()) or 1.0
        return replace(vector, probabilities={name: share / total for name, share in kept.items()})

    def learn(self, roms: Collection[Rom]) -> DomainModel | None:
        """What is known of these ROMs; None where all that they say of their domains is nothing."""
        roms = tuple(roms)
        with self._learning:
            embed = self._embedder.texts if self._embedder.is_there else None
            key = (embed is None, *(rom.manifest for rom in roms))
            if len(key) != len(self._known[0]) or any(map(is_not, key, self._known[0])):
                self._known = (key, self._fit(roms, embed))
            return self._known[1]

    def _fit(self, roms: Collection[Rom], embed: Embed | None) -> DomainModel | None:
        weights = {source: weight for source, weight in self._weights.items() if weight}
        if not weights or all(rom.manifest.domain == Domain() for rom in roms):
            return None
        from app.routing.domain_model import DomainModel

        started = time.monotonic()
        model = DomainModel.fit({rom.id: rom.manifest for rom in roms}, weights, embed)
        log_event("domains_learned", domains=model.domains, seconds=round(time.monotonic() - started, 3))
        return model
