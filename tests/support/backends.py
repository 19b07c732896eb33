"""Backends for tests: each implements the `Backend` protocol by itself, or around another that does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from app.backends.base import Backend, Conditioning
from app.backends.fake import FakeBackend
from tests.support.clock import FakeClock

SMALL_CELLS = 4  # latent cells of the 16x16 pictures that tests ask for


@dataclass(frozen=True)
class Forward:
    """What one call of `predict` was given."""

    latents: torch.Tensor  # [B, C, h, w]
    timestep: torch.Tensor  # [B]
    prompt_embeds: torch.Tensor  # [B, L, D]

    def __len__(self) -> int:
        return len(self.latents)


class WatchedBackend:
    """Another backend, whose forwards are written down."""

    def __init__(self, inner: Backend) -> None:
        self.info = inner.info
        self.forwards: list[Forward] = []
        self._inner = inner

    def encode_prompt(self, prompt: str) -> Conditioning:
        return self._inner.encode_prompt(prompt)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        self.forwards.append(Forward(latents.clone(), timestep.clone(), prompt_embeds.clone()))
        return self._inner.predict(latents, timestep, prompt_embeds)

    def decode(self, latents: torch.Tensor, *, upcast: bool = False) -> torch.Tensor:
        return self._inner.decode(latents, upcast=upcast)

    def unload(self) -> None:
        self._inner.unload()


class TroubledBackend(FakeBackend):
    """Fails where a prompt says so."""

    UNENCODABLE = "a prompt that cannot be encoded"
    UNPREDICTABLE = "a prompt that breaks the forward"

    def encode_prompt(self, prompt: str) -> Conditioning:
        if prompt == self.UNENCODABLE:
            raise RuntimeError("this prompt has no meaning")
        return super().encode_prompt(prompt)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        broken = super().encode_prompt(self.UNPREDICTABLE).prompt_embeds
        if any(torch.equal(embeds, broken) for embeds in prompt_embeds):
            raise RuntimeError("the denoiser gave up")
        return super().predict(latents, timestep, prompt_embeds)


class UndecodableBackend(FakeBackend):
    """Denoises, and then makes no picture of it."""

    def decode(self, latents: torch.Tensor, *, upcast: bool = False) -> torch.Tensor:
        raise RuntimeError("the autoencoder gave up")


class GatedBackend(FakeBackend):
    """Stops in the middle of its first forward until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        self.entered.set()
        assert self.gate.wait(120), "the test never opened the gate"
        return super().predict(latents, timestep, prompt_embeds)


class UnloadedBackend(FakeBackend):
    """Tells when it is unloaded."""

    def __init__(self, on_unload: Callable[[], None], nbytes: int) -> None:
        super().__init__()
        self.info = replace(self.info, nbytes=nbytes)
        self._on_unload = on_unload

    def unload(self) -> None:
        self._on_unload()


class TimedBackend(FakeBackend):
    """Takes time on a test's clock. Its prior is what a forward of one small row takes; the engine derives the rest."""

    def __init__(
        self, clock: FakeClock, step_s: Callable[[int], float], encode_s: float = 0.0, decode_s: float = 0.0
    ) -> None:
        super().__init__()
        self.info = replace(self.info, cell_step_prior_s=step_s(1) / SMALL_CELLS)
        self._clock = clock
        self._step_s = step_s  # over the rows of the forward
        self._encode_s = encode_s  # a prompt
        self._decode_s = decode_s  # an image

    def encode_prompt(self, prompt: str) -> Conditioning:
        self._clock.advance(self._encode_s)
        return super().encode_prompt(prompt)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        self._clock.advance(self._step_s(len(latents)))
        return super().predict(latents, timestep, prompt_embeds)

    def decode(self, latents: torch.Tensor, *, upcast: bool = False) -> torch.Tensor:
        self._clock.advance(self._decode_s * len(latents))
        return super().decode(latents, upcast=upcast)
