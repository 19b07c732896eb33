"""A backend without weights: instant and deterministic. For tests, and for trying the API on any machine."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F

from app.backends.base import BackendInfo, Conditioning, EncodedImage
from app.diffusion.schedules import NoiseSchedule

_LENGTH, _WIDTH = 8, 16
_MAX_WORDS = 64


class FakeBackend:
    """Paints the colours that the prompt's hash gives. Every prompt, seed and size has its own picture."""

    def __init__(self) -> None:
        self.info = BackendInfo(
            latent_channels=4,
            denoiser_channels=4,
            vae_scale_factor=8,
            default_size=64,
            default_scheduler="ddim",
            unoffered_scheduler=None,
            noise_schedule=NoiseSchedule(prediction_type="sample"),
            device=torch.device("cpu"),
            nbytes=1024,
            cell_bytes=1024,
            cell_step_prior_s=0.0,
        )

    def encode_prompt(self, prompt: str) -> Conditioning:
        words = prompt.split()
        digest = hashlib.sha256(" ".join(words[:_MAX_WORDS]).encode()).digest()
        values = torch.tensor(list(digest), dtype=torch.float32) / 127.5 - 1
        return Conditioning(values.repeat(4).reshape(_LENGTH, _WIDTH), " ".join(words[_MAX_WORDS:]))

    def encode_image(self, image: torch.Tensor) -> EncodedImage:
        colours = F.avg_pool2d(image, self.info.vae_scale_factor)
        return EncodedImage(torch.cat([torch.asin(colours.clamp(-1, 1)), torch.zeros_like(colours[:1])]))

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        colour = prompt_embeds[:, 0, : latents.shape[1], None, None]
        nearness = (1 - timestep / 1000)[:, None, None, None]
        # sine, here and in decode: guidance makes latents large, and where others saturate it still tells seeds apart
        return colour + 0.2 * nearness * torch.sin(latents)

    def decode(self, latents: torch.Tensor, *, upcast: bool = False) -> torch.Tensor:
        size = self.info.vae_scale_factor
        return torch.sin(latents[:, :3]).repeat_interleave(size, 2).repeat_interleave(size, 3)

    def unload(self) -> None:
        """Nothing is held."""
