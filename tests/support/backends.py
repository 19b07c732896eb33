"""Backends for tests: each implements the `Backend` protocol by itself, or around another that does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from app.backends.base import Backend, Conditioning, EncodedImage
from app.backends.fake import FakeBackend
from app.core import Decoder
from tests.support.clock import FakeClock

SMALL_CELLS = 4  # latent cells of the 16x16 pictures that tests ask for


@dataclass(frozen=True)
class Forward:
    """What one call of `predict` was given."""

    latents: torch.Tensor  # [B, C, h, w]
    timestep: torch.Tensor  # [B]
    prompts: tuple[Conditioning, ...]  # B

    def __len__(self) -> int:
        return len(self.latents)


class WatchedBackend:
    """Another backend, whose forwards are written down."""

    def __init__(self, inner: Backend) -> None:
        self.info = inner.info
        self.forwards: list[Forward] = []
        self._inner = inner

    def count_chunks(self, prompt: str) -> int:
        return self._inner.count_chunks(prompt)

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        return self._inner.encode_prompt(prompt, chunks)

    def encode_image(self, image: torch.Tensor) -> EncodedImage:
        return self._inner.encode_image(image)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        self.forwards.append(Forward(latents.clone(), timestep.clone(), tuple(prompts)))
        return self._inner.predict(latents, timestep, prompts)

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        return self._inner.decode(latents, decoder=decoder, upcast=upcast, tiled=tiled)

    def park(self) -> None:
        self._inner.park()

    def resume(self) -> None:
        self._inner.resume()

    def unload(self) -> None:
        self._inner.unload()


class TroubledBackend(FakeBackend):
    """Fails where a prompt says so."""

    UNENCODABLE = "a prompt that cannot be encoded"
    UNPREDICTABLE = "a prompt that breaks the forward"

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        if prompt == self.UNENCODABLE:
            raise RuntimeError("this prompt has no meaning")
        return super().encode_prompt(prompt, chunks)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        broken = super().encode_prompt(self.UNPREDICTABLE).prompt_embeds
        if any(torch.equal(prompt.prompt_embeds, broken) for prompt in prompts):
            raise RuntimeError("the denoiser gave up")
        return super().predict(latents, timestep, prompts)


class UndecodableBackend(FakeBackend):
    """Denoises, and then makes no picture of it."""

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        raise RuntimeError("the autoencoder gave up")


class FaultyBackend(FakeBackend):
    """Meets each of its `faults` once, in the next calls of that kind."""

    def __init__(self) -> None:
        super().__init__()
        self.forward_faults: list[Exception] = []
        self.decode_faults: list[Exception] = []
        self.encode_faults: list[Exception] = []

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        _meet(self.encode_faults)
        return super().encode_prompt(prompt, chunks)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        _meet(self.forward_faults)
        return super().predict(latents, timestep, prompts)

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        _meet(self.decode_faults)
        return super().decode(latents, decoder=decoder, upcast=upcast, tiled=tiled)


def _meet(faults: list[Exception]) -> None:
    if faults:
        raise faults.pop(0)


class CrampedBackend(FakeBackend):
    """Has memory for `rows` of a forward, and for `images` of a decoding that is not tiled."""

    def __init__(self, rows: int = 100, images: int = 100) -> None:
        super().__init__()
        self.rows = rows
        self.images = images
        self.tiled = 0  # decodings in parts

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        if len(latents) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().predict(latents, timestep, prompts)

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        self.tiled += tiled
        if len(latents) > self.images and not tiled:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().decode(latents, decoder=decoder, upcast=upcast, tiled=tiled)


class BlankBackend(FakeBackend):
    """Overflows in half precision: its pictures are all of one value, some or all of them, unless it is upcast."""

    def __init__(self, value: float, upcast_helps: bool = True, sound_images: int = 0) -> None:
        super().__init__()
        self._value = value
        self._upcast_helps = upcast_helps
        self._sound_images = sound_images  # of a decoding, the first ones
        self.upcasts: list[int] = []  # images of each

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        pixels = super().decode(latents)
        if upcast:
            self.upcasts.append(len(latents))
        if not upcast or not self._upcast_helps:
            pixels[0 if upcast else self._sound_images :] = self._value
        return pixels


class GatedBackend(FakeBackend):
    """Stops in the middle of its first forward until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        self.entered.set()
        assert self.gate.wait(120), "the test never opened the gate"
        return super().predict(latents, timestep, prompts)


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

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        self._clock.advance(self._encode_s)
        return super().encode_prompt(prompt, chunks)

    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        self._clock.advance(self._step_s(len(latents)))
        return super().predict(latents, timestep, prompts)

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        self._clock.advance(self._decode_s * len(latents))
        return super().decode(latents, decoder=decoder, upcast=upcast, tiled=tiled)
