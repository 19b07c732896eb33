"""What an image tower learns first: to tell attributes from its patches, by linear heads that are then thrown away.

Contrast alone did not teach a small transformer a star from a heart within 125,000 pictures: what captions say of
shapes is of no use to it before it sees them, and it learns to see only what is of use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPModel

from training.contrastive_batch import IGNORED, ContrastiveBatches
from training.loop import Draw, LoopConfig, autocast, train
from training.vae import to_tensor

SIGHT = "sight"  # the stage, and its curve


class AttributeHeads(nn.Module):
    """Logits of every attribute's values, from the mean and the maximum of a picture's patches."""

    def __init__(self, features: int, values: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(2 * features, count) for count in values)

    def forward(self, patches: torch.Tensor) -> list[torch.Tensor]:
        """Patches [B, N, features] to logits [B, values] of each attribute."""
        pooled = torch.cat([patches.mean(1), patches.amax(1)], dim=1)
        return [head(pooled).float() for head in self.heads]


class Beholder(nn.Module):
    """A CLIP whose image tower also tells attributes."""

    def __init__(self, clip: CLIPModel, batches: ContrastiveBatches) -> None:
        super().__init__()
        self.clip = clip
        values = [len(attribute.values) for attribute in batches.attributes]
        self.heads = AttributeHeads(clip.config.vision_config.hidden_size, values)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Pixels -1..1 [B, 3, H, W] to unit vectors [B, projection_dim] and the logits of the heads."""
        output = self.clip.vision_model(pixel_values=pixels)
        embeds = F.normalize(self.clip.visual_projection(output.pooler_output).float(), dim=-1)
        return embeds, self.heads(output.last_hidden_state[:, 1:])


def train_sight(beholder: Beholder, config: LoopConfig, batches: ContrastiveBatches, directory: Path) -> Beholder:
    """The image tower and the heads alone."""
    size = beholder.clip.config.vision_config.image_size

    def loss(draw: Draw) -> torch.Tensor:
        images, shown = batches.labelled(draw)
        with autocast():
            _, logits = beholder(scale_pictures(to_tensor(images), size))
        return attribute_error(logits, shown)

    trained: Any = train(SIGHT, beholder, loss, config, directory)
    return trained  # type: ignore[no-any-return]


def attribute_error(logits: list[torch.Tensor], shown: list[list[int]]) -> torch.Tensor:
    """Cross entropy of the attributes that some picture of the batch has, averaged; see ContrastiveBatches.labelled."""
    errors = [
        F.cross_entropy(values, torch.tensor(targets, device=values.device), ignore_index=IGNORED)
        for values, targets in zip(logits, shown, strict=True)
        if any(target != IGNORED for target in targets)
    ]
    return torch.stack(errors).mean()


def scale_pictures(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """As the image processor scales them, [B, 3, size, size]."""
    return F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
