"""What tests put through a denoiser, and compare."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from app.backends.base import Backend, Conditioning

CPU_OPTIMIZATIONS = ("tiled_attention", "prompt_keys_values", "split_geglu", "fused_qkv", "channels_last")
ROWS = 4
SIDE = 8  # latent cells
PROMPTS = ("a red cat", "a blue dog", "", "the sea")


@dataclass(frozen=True)
class Inputs:
    """What a forward of four rows takes."""

    latents: torch.Tensor
    timestep: torch.Tensor
    prompts: tuple[Conditioning, ...]

    @classmethod
    def make(cls, backend: Backend, chunks: int = 1) -> Inputs:
        generator = torch.Generator().manual_seed(5)
        return cls(
            torch.randn((ROWS, backend.info.denoiser_channels, SIDE, SIDE), generator=generator),
            torch.tensor([999.0, 601.5, 20.0, 0.0]),
            tuple(backend.encode_prompt(prompt, chunks) for prompt in PROMPTS),
        )

    def rows(self, *rows: int) -> Inputs:
        index = list(rows)
        return Inputs(self.latents[index], self.timestep[index], tuple(self.prompts[row] for row in rows))

    def predict(self, backend: Backend) -> torch.Tensor:
        return backend.predict(self.latents, self.timestep, self.prompts)


def near(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return float((ours - theirs).abs().max()) <= 1e-5 * max(1.0, float(theirs.abs().max()))
