"""An SRResNet that enlarges: whole where the image is small, in tiles where it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from app.backends.base import Guide, UpscalerInfo
from app.backends.devices import return_memory
from app.backends.pool import Holding
from app.backends.srresnet import SRResNet
from app.roms.upscalers import TILE, srresnet_bytes

_WARM_UP_SIDE = 32  # pixels


@dataclass(frozen=True)
class Tile:
    """A part of an image along one side: pixels `start` to `stop` come of those from `first` to `last`."""

    start: int
    stop: int
    first: int
    last: int


def tiles(length: int, size: int, reach: int) -> Iterator[Tile]:
    """A side of `length` pixels in tiles of at most `size`, each with all that bears on what is kept of it."""
    if length <= size:
        yield Tile(0, length, 0, length)
        return
    kept = size - 2 * reach
    for start in range(0, length, kept):
        stop = min(length, start + kept)
        yield Tile(start, stop, max(0, start - reach), min(length, stop + reach))


class SRResNetUpscaler:
    """Tiles overlap as far as the network sees, so that what they make is what the whole would give."""

    def __init__(self, model: SRResNet, holding: Holding) -> None:
        self._model: SRResNet | None = model
        self._holding = holding
        config = model.config
        factors = tuple(2 ** (number + 1) for number in range(config.num_doublings))
        self._channels, self._itemsize = config.channels, model.dtype.itemsize
        self.info = UpscalerInfo(factors, model.device, holding.sizes, self._warm_up(factors))

    def needed_bytes(self, height: int, width: int, factor: int) -> int:
        return srresnet_bytes(height, width, factor, self._channels, self._itemsize)

    @torch.inference_mode()
    def upscale(
        self, image: torch.Tensor, factor: int, guide: Guide, on_piece: Callable[[], None], tile: int = TILE
    ) -> torch.Tensor:
        """The image [3, H, W] enlarged, `tile` pixels a side at a time. `guide` has no effect."""
        model, (_, height, width) = self._loaded, image.shape
        source = image.to(model.device)
        enlarged = torch.empty((3, height * factor, width * factor), dtype=torch.float32, device=model.device)
        for row in tiles(height, tile, model.reach):
            for column in tiles(width, tile, model.reach):
                on_piece()
                part = source[None, :, row.first : row.last, column.first : column.last]
                made = model(part.contiguous(memory_format=torch.channels_last), factor)[0]
                enlarged[:, row.start * factor : row.stop * factor, column.start * factor : column.stop * factor] = (
                    made[
                        :,
                        (row.start - row.first) * factor : (row.stop - row.first) * factor,
                        (column.start - column.first) * factor : (column.stop - column.first) * factor,
                    ]
                )
        return enlarged

    def park(self) -> None:
        self._holding.park()

    def resume(self) -> None:
        self._holding.resume()

    def unload(self) -> None:
        self._holding.release()
        self._model = None
        return_memory()

    @property
    def _loaded(self) -> SRResNet:
        assert self._model is not None, "unloaded"
        return self._model

    @torch.inference_mode()
    def _warm_up(self, factors: tuple[int, ...]) -> float:
        """Run every factor twice, so that libraries have chosen their kernels. Seconds a pixel of the slowest."""
        model, paces = self._loaded, []
        image = torch.zeros((1, 3, _WARM_UP_SIDE, _WARM_UP_SIDE), device=model.device)
        for factor in factors * 2:
            started = time.perf_counter()
            model(image, factor).sum().item()  # waits for the device
            paces.append((time.perf_counter() - started) / (_WARM_UP_SIDE * factor) ** 2)
        return max(paces[len(factors) :])
