"""What a backend needs of a U-Net, whichever runtime computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from app.backends.base import Conditioning


@dataclass(frozen=True)
class UNetTraits:
    """What is known of a U-Net without computing it."""

    in_channels: int
    sample_size: int  # latent cells, square, that it was trained on
    addition_embed_type: str | None  # what it is told besides; "text_time": size, and the prompt as a whole
    time_cond_proj_dim: int | None  # set where it is told the guidance scale
    num_parameters: int

    @classmethod
    def of(cls, unet: Any) -> UNetTraits:
        config = unet.config
        return cls(
            in_channels=config.in_channels,
            sample_size=config.sample_size,
            addition_embed_type=config.addition_embed_type,
            time_cond_proj_dim=config.time_cond_proj_dim,
            num_parameters=unet.num_parameters(),
        )


class Denoiser(Protocol):
    """A U-Net that is ready to compute. One thread calls it at a time."""

    traits: UNetTraits
    device: torch.device
    dtype: torch.dtype
    nbytes: int  # of the weights in memory

    def read(self, prompt_embeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What of a prompt's embeddings [L, D] is computed once and not at every step: `Conditioning.keys_values`."""

    def predict(
        self,
        latents: torch.Tensor,  # [B, C, h, w]
        timestep: torch.Tensor,  # [B]
        prompts: Sequence[Conditioning],  # B
        added: dict[str, torch.Tensor] | None = None,  # further conditions of the U-Net, [B, ...] each
    ) -> torch.Tensor:
        """float32 [B, C, h, w]"""

    def park(self) -> None:
        """Leave the device for the host's memory."""

    def resume(self) -> None:
        """Come back."""
