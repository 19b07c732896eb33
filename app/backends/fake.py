"""A backend without weights: instant and deterministic. For tests, and for trying the API on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from app.backends.base import BackendInfo, Conditioning, EncodedImage
from app.core import Decoder
from app.diffusion.schedules import NoiseSchedule
from app.roms.memory import MemoryModel

_LENGTH, _WIDTH = 8, 16
_MAX_WORDS = 64  # of a chunk
_TINY_LEVELS = 8  # of brightness, that the tiny decoder tells apart


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
            parts={f"fake {id(self)}": 1024},
            memory=MemoryModel(row_cell_bytes=1024),
            cell_step_prior_s=0.0,
            decoders=("full", "tiny"),
        )

    def count_chunks(self, prompt: str) -> int:
        return max(1, -(-len(prompt.split()) // _MAX_WORDS))

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        words = (prompt or "").split()
        digest = hashlib.sha256(" ".join(words[: _MAX_WORDS * chunks]).encode()).digest()
        values = torch.tensor(list(digest), dtype=torch.float32) / 127.5 - 1
        embeds = values.repeat(4 * chunks).reshape(_LENGTH * chunks, _WIDTH)
        return Conditioning(embeds, truncated=" ".join(words[_MAX_WORDS * chunks :]))

    def encode_image(self, image: torch.Tensor) -> EncodedImage:
        colours = F.avg_pool2d(image, self.info.vae_scale_factor)
        return EncodedImage(torch.cat([torch.asin(colours.clamp(-1, 1)), torch.zeros_like(colours[:1])]))

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        colour = torch.stack([prompt.prompt_embeds[0, : latents.shape[1], None, None] for prompt in prompts])
        nearness = (1 - timestep / 1000)[:, None, None, None]
        # sine, here and in decode: guidance makes latents large, and where others saturate it still tells seeds apart
        return colour + 0.2 * nearness * torch.sin(latents)

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        size, colours = self.info.vae_scale_factor, torch.sin(latents[:, :3])
        if decoder == "tiny":
            colours = (colours * _TINY_LEVELS).round() / _TINY_LEVELS
        return colours.repeat_interleave(size, 2).repeat_interleave(size, 3)

    def park(self) -> None:
        """There is nothing to move."""

    def resume(self) -> None:
        """Nothing was moved."""

    def unload(self) -> None:
        """Nothing is held."""
