"""What a U-Net learns: to denoise latents under captions, some of which are left out for guidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler
from transformers import CLIPTextModel, CLIPTokenizer

from training.loop import Draw, autocast, device
from training.text_encoder import tokenize

NOISIER, UNIFORM = 2.0, 1.0  # what timesteps are drawn from: half of them from the noisiest quarter, or a quarter


@dataclass(frozen=True)
class Conditions:
    """What the U-Net is trained between, all of it frozen."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL

    def read(self, captions: list[str]) -> torch.Tensor:
        """States of the text encoder, [B, L, D]."""
        with torch.no_grad(), autocast():
            states: torch.Tensor = self.text_encoder(tokenize(self.tokenizer, captions)).last_hidden_state
        return states


@dataclass(frozen=True)
class Batch:
    """Images to learn from, and what their captions say."""

    latents: torch.Tensor  # [B, C, h, w], scaled, clean
    states: torch.Tensor  # [B, L, D], of the text encoder


@dataclass(frozen=True)
class Noised:
    """Latents on their way to noise."""

    latents: torch.Tensor  # [B, C, h, w]
    timesteps: torch.Tensor  # [B]
    target: torch.Tensor  # [B, C, h, w], what the U-Net is to predict


@dataclass(frozen=True)
class Denoising:
    """The task: images by their scaled latents, and what is said of each."""

    conditions: Conditions
    scheduler: DDIMScheduler  # its schedule and prediction type
    latents: torch.Tensor  # [N, C, h, w]
    caption: Callable[[int, np.random.Generator], str]  # of an image, one of its phrasings
    caption_dropout: float
    chances: np.ndarray | None = None  # [N], of each image, in sum 1; None: all the same
    power: float = NOISIER  # of `draw_timesteps`

    def draw(self, draw: Draw) -> Batch:
        """Images, each with a caption that is new at every step, or with none."""
        rows = draw.numpy.choice(len(self.latents), size=draw.batch_size, p=self.chances)
        captions = self._captions(rows, draw)
        return Batch(self.latents[rows].to(device()), self.conditions.read(captions))

    def loss(self, forward: Callable[..., Any], draw: Draw) -> torch.Tensor:
        """Mean squared error of what `forward` predicts of random images."""
        batch = self.draw(draw)
        noised = self.noise(batch.latents, draw)
        with autocast():
            output = forward(noised.latents, noised.timesteps, batch.states).sample
        return F.mse_loss(output.float(), noised.target)

    def noise(self, latents: torch.Tensor, draw: Draw) -> Noised:
        """Clean latents [B, C, h, w] brought to timesteps of `draw_timesteps`."""
        noise = torch.randn(latents.shape, generator=draw.torch).to(latents.device)
        schedule = self.scheduler.config
        timesteps = draw_timesteps(len(latents), schedule.num_train_timesteps, self.power, draw)
        alpha = self.scheduler.alphas_cumprod[timesteps].to(latents.device)[:, None, None, None]
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        return Noised(noisy, timesteps.to(latents.device), _target(schedule.prediction_type, latents, noise, alpha))

    def _captions(self, rows: np.ndarray, draw: Draw) -> list[str]:
        dropped = draw.numpy.random(len(rows)) < self.caption_dropout
        return ["" if drop else self.caption(int(row), draw.numpy) for row, drop in zip(rows, dropped, strict=True)]


def draw_timesteps(count: int, end: int, power: float, draw: Draw) -> torch.Tensor:
    """`count` timesteps below `end`: end (1 - u ** power), u from 0 to 1.

    The u are spread evenly, from a random start (Kingma et al. 2021, VDM, appendix I.1): no batch is all noise.
    """
    shares = (torch.rand(1, generator=draw.torch) + torch.arange(count) / count) % 1
    return (end * (1 - shares**power)).long().clamp(max=end - 1)


def _target(prediction_type: str, latents: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    if prediction_type == "v_prediction":
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    return {"epsilon": noise, "sample": latents}[prediction_type]
