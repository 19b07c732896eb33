"""SRResNet (Ledig et al. 2017, arXiv:1609.04802): an image enlarged by a convolutional network in one forward.

It differs from the paper in three ways: no batch normalisation (Lim et al. 2017), a 3x3 convolution instead of 9x9 as
the last, and what the network makes is added to the bicubic enlargement. Each doubling has an output of its own (Lai et
al. 2017), so that one network enlarges 2 and 4 times.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

_HEAD_SIZE = 9  # pixels a side of the first convolution
_BICUBIC_REACH = 2  # pixels
_Base: Any = ModelMixin  # diffusers has no types
_Config: Any = ConfigMixin


class ResidualBlock(nn.Module):
    """Two convolutions with PReLU between them, added to what they are given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = features + self.conv2(self.prelu(self.conv1(features)))
        return result


class Doubling(nn.Module):
    """Twice the height and width, by sub-pixel convolution (Shi et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.prelu = nn.PReLU(channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.prelu(F.pixel_shuffle(self.conv(features), 2))
        return result


class SRResNet(_Base, _Config):  # type: ignore[misc]
    """`num_doublings`: 1 enlarges 2 times, 2 enlarges 2 and 4 times."""

    config_name = "config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, channels: int = 32, num_blocks: int = 6, num_doublings: int = 2) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, _HEAD_SIZE, padding=_HEAD_SIZE // 2)
        self.head_prelu = nn.PReLU(channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(num_blocks))
        self.body_end = nn.Conv2d(channels, channels, 3, padding=1)
        self.doublings = nn.ModuleList(Doubling(channels) for _ in range(num_doublings))
        self.tails = nn.ModuleList(nn.Conv2d(channels, 3, 3, padding=1) for _ in range(num_doublings))

    @property
    def reach(self) -> int:
        """Pixels of the input, in each direction, beyond which nothing bears on a pixel of the output."""
        convolutions = 2 * len(self.blocks) + 1 + 2 * len(self.doublings)  # doublings and tails count for less
        return _HEAD_SIZE // 2 + convolutions + _BICUBIC_REACH

    def forward(self, images: torch.Tensor, factor: int) -> torch.Tensor:
        """RGB in -1..1, float32 [B, 3, H, W], to float32 [B, 3, factor H, factor W], not clamped."""
        first = self.head_prelu(self.head(images.to(self.head.weight.dtype)))
        features = first
        for block in self.blocks:
            features = block(features)
        features = first + self.body_end(features)
        doublings = factor.bit_length() - 1
        for doubling in self.doublings[:doublings]:
            features = doubling(features)
        difference: torch.Tensor = self.tails[doublings - 1](features).float()
        return difference + enlarge_bicubic(images.float(), factor)


def enlarge_bicubic(images: torch.Tensor, factor: int) -> torch.Tensor:
    """[B, C, H, W] to [B, C, factor H, factor W]."""
    return F.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)
