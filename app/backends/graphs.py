"""Forwards recorded once and replayed: on a fast GPU it takes longer to launch the kernels of a U-Net than to run them.

A recording holds for one shape. Batches are filled up to one of few sizes, so that few recordings serve them all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

Forward = Callable[[Sequence[torch.Tensor]], torch.Tensor]  # of tensors [B, ...] to one [B, ...]
Replay = Callable[[], torch.Tensor]  # runs on the tensors that were recorded; the output is overwritten by the next
Recorder = Callable[[Forward, Sequence[torch.Tensor]], Replay]

_BUCKETS = (1, 2, 4, 6, 8, 12, 16)  # rows
_KEPT = 12  # recordings; each holds the activations of its forward
_WARM_UPS = 2  # runs before a recording, in which libraries choose their kernels


class ReplayedForward:
    """A forward that is recorded when a shape is met first. Larger batches than the largest bucket run as they are."""

    def __init__(self, forward: Forward, record: Recorder) -> None:
        self._forward = forward
        self._record = record
        self._recordings: OrderedDict[tuple[torch.Size, ...], tuple[list[torch.Tensor], Replay]] = OrderedDict()

    def __call__(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        rows = len(inputs[0])
        bucket = next((size for size in _BUCKETS if size >= rows), None)
        if bucket is None:
            return self._forward(inputs)
        key = tuple(torch.Size((bucket, *tensor.shape[1:])) for tensor in inputs)
        if key not in self._recordings:
            self._add(key, inputs)
        self._recordings.move_to_end(key)
        held, replay = self._recordings[key]
        for own, given in zip(held, inputs, strict=True):
            own[:rows].copy_(given)
        return replay()[:rows].clone()

    def forget(self) -> None:
        """Record anew: the forward has changed."""
        self._recordings = OrderedDict()

    def _add(self, key: tuple[torch.Size, ...], inputs: Sequence[torch.Tensor]) -> None:
        held = [torch.cat([torch.zeros_like(given[:1])] * size[0]) for size, given in zip(key, inputs, strict=True)]
        self._recordings[key] = held, self._record(self._forward, held)
        if len(self._recordings) > _KEPT:
            self._recordings.popitem(last=False)


def record_cuda_graph(forward: Forward, inputs: Sequence[torch.Tensor]) -> Replay:
    """A CUDA graph of the forward. Other threads may use the device meanwhile."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            forward(inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = forward(inputs)

    def replay() -> torch.Tensor:
        graph.replay()
        return output

    return replay
