"""A critic of patches: tells real pictures from made ones (PatchGAN, Isola et al. 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call


class PatchCritic(nn.Module):
    """Logits of patches of 34 pixels, [B, 3, H, W] to [B, 1, H / 4 - 2, W / 4 - 2]: high where they look real."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, 4 * channels, 4, padding=1),
            nn.GroupNorm(8, 4 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * channels, 1, 4, padding=1),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(pixels)
        return logits


def critic_loss(critic: PatchCritic, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """What the critic learns by: the hinge loss (Lim & Ye 2017). Gradients reach the critic alone."""
    return (F.relu(1 - critic(real)).mean() + F.relu(1 + critic(made.detach())).mean()) / 2


def maker_loss(critic: PatchCritic, made: torch.Tensor) -> torch.Tensor:
    """What the maker of pictures learns by. Gradients reach `made` alone, so one step can take both losses."""
    frozen = {name: value.detach() for name, value in critic.named_parameters()}
    logits: torch.Tensor = functional_call(critic, frozen, (made,))
    return -logits.mean()


def adaptive_weight(kept: torch.Tensor, critical: torch.Tensor, last: nn.Parameter) -> torch.Tensor:
    """What makes the critic's gradient on the last layer as long as that of the other losses (Esser et al. 2021)."""
    own, other = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (kept, critical))
    weight: torch.Tensor = (own / (other + 1e-4)).clamp(max=1e4).detach()
    return weight
