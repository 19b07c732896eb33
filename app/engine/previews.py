"""Cheap pictures of latents that are still in the making."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F

from app.backends.base import Backend
from app.engine.pictures import to_pixels
from app.imaging import Pixels

_MAPS_KEPT = 32
_MEMORY = 0.95  # what a picture counts for once another has come
_RIDGE = 1e-4  # of the latents' mean square, which is about 1


class Previews:
    """Latents to RGB, a pixel a latent cell, by a linear map for each ROM.

    It is a ridge regression to what the ROM's own decoder made of latents, and learns with every finished picture: one
    alone tells only of its own colours.
    """

    def __init__(self) -> None:
        self._maps: OrderedDict[str, _LinearMap] = OrderedDict()  # by ROM, the last learnt from at the end

    def learn(self, rom_id: str, latents: torch.Tensor, pictures: list[Pixels]) -> None:
        """From latents [B, C, h, w] and what they were decoded to, uint8 [H, W, 3] each."""
        if not bool(latents.isfinite().all()):
            return
        known = self._maps.get(rom_id)
        if known is None or known.channels != latents.shape[1]:  # another ROM of that name
            known = self._maps[rom_id] = _LinearMap(latents.shape[1])
        known.learn(latents, pictures)
        self._maps.move_to_end(rom_id)
        if len(self._maps) > _MAPS_KEPT:
            self._maps.popitem(last=False)

    def render(self, rom_id: str, backend: Backend, latents: torch.Tensor) -> list[Pixels]:
        """Pictures, uint8 [h, w, 3] each, of latents [B, C, h, w]; the first of a ROM are decoded, to learn from."""
        if rom_id not in self._maps:
            self.learn(rom_id, latents, to_pixels(backend.decode(latents)))
        return self._maps[rom_id].render(latents)


class _LinearMap:
    """Least squares by its normal equations, which hold all that was seen so far."""

    def __init__(self, channels: int) -> None:
        self.channels = channels  # of the latents
        self._inner = torch.zeros(channels + 1, channels + 1)
        self._outer = torch.zeros(channels + 1, 3)

    def learn(self, latents: torch.Tensor, pictures: list[Pixels]) -> None:
        images = torch.from_numpy(np.stack(pictures)).to(latents.device).permute(0, 3, 1, 2) / 127.5 - 1
        height, width = latents.shape[-2:]
        colours = F.adaptive_avg_pool2d(images, (height, width)).permute(0, 2, 3, 1).flatten(0, 2)
        cells = _cells(latents)
        self._inner = _MEMORY * self._inner + (cells.T @ cells / len(cells)).cpu()
        self._outer = _MEMORY * self._outer + (cells.T @ colours / len(cells)).cpu()

    def render(self, latents: torch.Tensor) -> list[Pixels]:
        ridge = _RIDGE * torch.eye(len(self._inner))
        weights = torch.linalg.solve(self._inner + ridge, self._outer).to(latents.device)
        batch, _, height, width = latents.shape
        return to_pixels((_cells(latents) @ weights).reshape(batch, height, width, 3).permute(0, 3, 1, 2))


def _cells(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, h, w] to [B h w, C + 1], with a column of ones."""
    cells = latents.float().permute(0, 2, 3, 1).flatten(0, 2)
    return torch.cat([cells, cells.new_ones(len(cells), 1)], dim=1)
