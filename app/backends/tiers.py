"""A model's weights on their device, or in the host's memory while nobody computes with them."""

from __future__ import annotations

from typing import Any

import torch


class Weights:
    """Of one model, without those of the `base` that it shares them with.

    They never change: the host's copy is made once, and parking drops the device's.
    """

    def __init__(self, model: Any, base: Any = None) -> None:
        shared = set() if base is None else {id(tensor) for tensor in (*base.parameters(), *base.buffers())}
        weights = [tensor for tensor in model.parameters() if id(tensor) not in shared]
        self._tensors: list[torch.Tensor] = [*weights, *(one for one in model.buffers() if id(one) not in shared)]
        self._on_host: list[torch.Tensor] = []
        self.nbytes = sum(tensor.nbytes for tensor in weights)

    def park(self) -> None:
        if not self._on_host:
            self._on_host = [_copy(tensor.data, torch.device("cpu")) for tensor in self._tensors]
        for tensor in self._tensors:
            tensor.data = tensor.data.new_empty(0)

    def resume(self) -> None:
        """The copies are on their way when this returns; what is asked of the device comes after them."""
        for tensor, on_host in zip(self._tensors, self._on_host, strict=True):
            tensor.data = _copy(on_host, tensor.device)


class ModelPart:
    """A model that ROMs share; one with a LoRA is no more than that beside its `base`."""

    def __init__(self, model: Any, base: Any = None) -> None:
        self.model = model
        self._weights = Weights(model, base)
        self.nbytes = self._weights.nbytes

    def park(self) -> None:
        self._weights.park()

    def resume(self) -> None:
        self._weights.resume()


def _copy(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """In the same layout; in memory that a GPU copies from by itself, where it comes from one."""
    is_pinned = tensor.is_cuda and device.type == "cpu"
    copied = torch.empty_like(tensor, device=device, pin_memory=is_pinned)
    return copied.copy_(tensor, non_blocking=not is_pinned)
