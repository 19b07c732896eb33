"""How models are loaded, as whoever runs the service decides."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from app.backends.devices import cpu_multiplies_in_tiles

_WIDE = 256  # channels, from which on a CPU has its time go into large tensors; Stable Diffusion has 320


@dataclass(frozen=True)
class LoadOptions:
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    dtype: str = "auto"  # auto, float32, bfloat16, float16
    optimizations: tuple[str, ...] | None = None  # names of app.core.OPTIMIZATIONS; None: those that pay on the device
    runtime: str = "torch"  # or "openvino": what computes U-Nets
    cache_dir: Path | None = None  # where a runtime keeps what it makes of a model

    def __post_init__(self) -> None:
        if self.runtime != "torch" and self.cache_dir is None:
            raise ValueError(f"the runtime {self.runtime!r} needs a cache_dir")


def pick_optimizations(options: LoadOptions, device: torch.device, dtype: torch.dtype, channels: int) -> frozenset[str]:
    """As told, or those that were measured to pay for a U-Net whose first block has so many channels."""
    if options.optimizations is not None:
        return frozenset(options.optimizations)
    chosen = {"prompt_keys_values"}
    if device.type != "cpu":
        return frozenset(chosen | {"channels_last", "cuda_graphs"})  # the latter on CUDA alone
    if channels >= _WIDE:
        chosen |= {"split_geglu"}
    if dtype == torch.float32 or channels >= _WIDE:
        chosen |= {"channels_last"}
    if dtype == torch.bfloat16 and not cpu_multiplies_in_tiles():
        chosen |= {"tiled_attention"}
    return frozenset(chosen)


def without_fusing(options: LoadOptions) -> LoadOptions:
    """For a model that a LoRA is laid over: what is fused has no layers of its own any more, to add to."""
    if options.optimizations is None:
        return options  # by itself it is never chosen
    return replace(options, optimizations=tuple(name for name in options.optimizations if name != "fused_qkv"))


def pick_memory_format(optimizations: Collection[str] | None) -> torch.memory_format:
    """Of convolutions; None: of those in autoencoders, whose tensors are large."""
    is_last = optimizations is None or "channels_last" in optimizations
    return torch.channels_last if is_last else torch.contiguous_format
