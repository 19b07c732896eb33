"""The gated unit of the transformer blocks (Shazeer 2020, GEGLU), its value and its gate in two products.

diffusers makes both in one and takes halves of the result, which do not lie together in memory: on a CPU, what is done
with them then takes as long as the product.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU


class SplitGEGLU(torch.nn.Module):
    def __init__(self, projection: torch.nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = projection.weight, projection.bias  # [2 C, D], [2 C]: value, then gate

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., D] to [..., C]: value * gelu(gate)"""
        value, gate = (F.linear(states, *half) for half in zip(self.weight.chunk(2), self.bias.chunk(2), strict=True))
        return F.gelu(gate).mul_(value)


def split_gates(unet: Any) -> None:
    """Replace every GEGLU but those with a LoRA, which are more than their weights; the weights stay where they are."""
    for module in unet.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, GEGLU) and isinstance(child.proj, torch.nn.Linear):
                setattr(module, name, SplitGEGLU(child.proj))
