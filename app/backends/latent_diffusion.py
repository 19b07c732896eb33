"""The backend of the Stable Diffusion families: text encoders, a U-Net and an autoencoder behind the waist."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from app.backends.autoencoder import Autoencoder
from app.backends.base import BackendInfo, Conditioning, EncodedImage
from app.backends.devices import return_memory
from app.backends.pool import Holding
from app.backends.samplers import DiffusersAdapter
from app.backends.schedulers import find_scheduler
from app.backends.text import TextEncoder
from app.backends.unet import Denoiser, UNetTraits
from app.core import Decoder
from app.diffusion.schedules import NoiseSchedule
from app.errors import ManifestError
from app.roms.memory import MemoryModel

_WARM_UP_SIDE, _DECODED_SIDE = 64, 8  # latent cells, at most


@dataclass(frozen=True)
class Shares:
    """What of a family other ROMs may have too."""

    holding: Holding
    denoiser: str  # its key
    decoders: Mapping[Decoder, str]


@dataclass(frozen=True)
class Parts:
    """What a family is made of."""

    text_encoders: tuple[TextEncoder, ...]  # their states side by side are what the denoiser reads
    denoiser: Denoiser
    autoencoders: Mapping[Decoder, Autoencoder]  # "full" also encodes
    scheduler: dict[str, Any]  # its scheduler_config.json
    memory: MemoryModel
    shares: Shares
    reads_size: bool = False  # the denoiser is told the picture's size, and the prompt as a whole
    zeros_for_none: bool = False  # no prompt is all zeros; otherwise it is the empty one


class LatentDiffusionBackend:
    def __init__(self, parts: Parts) -> None:
        """Raises ManifestError where the parts do not fit together."""
        denoiser, traits, full = parts.denoiser, parts.denoiser.traits, parts.autoencoders["full"]
        _check(traits, full.latent_channels, parts.reads_size)
        self._parts: Parts | None = parts
        adapter = DiffusersAdapter(parts.scheduler)
        default_scheduler, unoffered_scheduler = find_scheduler(parts.scheduler, adapter)
        self.info = BackendInfo(
            latent_channels=full.latent_channels,
            denoiser_channels=traits.in_channels,
            vae_scale_factor=full.scale_factor,
            default_size=traits.sample_size * full.scale_factor,
            default_scheduler=default_scheduler,
            unoffered_scheduler=unoffered_scheduler,
            noise_schedule=NoiseSchedule.from_config(parts.scheduler),
            device=denoiser.device,
            parts=parts.shares.holding.sizes,
            memory=parts.memory,
            cell_step_prior_s=0.0,
            scheduler_adapter=adapter,
            decoders=tuple(parts.autoencoders),
        )
        self.info = replace(self.info, cell_step_prior_s=self._warm_up())

    def count_chunks(self, prompt: str) -> int:
        return max(encoder.count_chunks(prompt) for encoder in self._loaded.text_encoders)

    @torch.inference_mode()
    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        texts = [encoder.encode(prompt or "", chunks) for encoder in self._loaded.text_encoders]
        states = torch.cat([text.states for text in texts], dim=-1)
        pooled = texts[-1].pooled if self._loaded.reads_size else None
        if prompt is None and self._loaded.zeros_for_none:
            states, pooled = torch.zeros_like(states), None if pooled is None else torch.zeros_like(pooled)
        return Conditioning(states, pooled, self._loaded.denoiser.read(states), texts[0].truncated)

    @torch.inference_mode()
    def encode_image(self, image: torch.Tensor) -> EncodedImage:
        return self._loaded.autoencoders["full"].encode(image)

    @torch.inference_mode()
    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[Conditioning]) -> torch.Tensor:
        return self._loaded.denoiser.predict(latents, timestep, prompts, self._added(latents, prompts))

    @torch.inference_mode()
    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        return self._loaded.autoencoders[decoder].decode(latents, upcast=upcast, tiled=tiled)

    def park(self) -> None:
        self._loaded.shares.holding.park()

    def resume(self) -> None:
        self._loaded.shares.holding.resume()

    def unload(self) -> None:
        if self._parts is not None:
            self._parts.shares.holding.release()
        self._parts = None
        return_memory()

    def _warm_up(self) -> float:
        """Run every part, so that libraries have chosen their kernels. Returns seconds a row and latent cell.

        A part that another ROM has warmed up is not run again: it may be in use.
        """
        shares, prompt = self._loaded.shares, self.encode_prompt("")
        for decoder, key in shares.decoders.items():
            shares.holding.warm_up(key, partial(self._time_decoding, decoder))
        return shares.holding.warm_up(shares.denoiser, partial(self._time_forward, prompt))

    def _time_forward(self, prompt: Conditioning) -> float:
        info, seconds = self.info, []
        side = min(info.default_size // info.vae_scale_factor, _WARM_UP_SIDE)
        latents = torch.zeros((1, info.denoiser_channels, side, side), device=info.device)
        timestep = torch.zeros(1, device=info.device)
        for _ in range(2):
            started = time.perf_counter()
            self.predict(latents, timestep, [prompt]).sum().item()  # waits for the device
            seconds.append(time.perf_counter() - started)
        return min(seconds) / side**2

    def _time_decoding(self, decoder: Decoder) -> float:
        started = time.perf_counter()
        shape = (1, self.info.latent_channels, _DECODED_SIDE, _DECODED_SIDE)
        self.decode(torch.zeros(shape, device=self.info.device), decoder=decoder)
        return time.perf_counter() - started

    @property
    def _loaded(self) -> Parts:
        assert self._parts is not None, "unloaded"
        return self._parts

    def _added(self, latents: torch.Tensor, prompts: Sequence[Conditioning]) -> dict[str, torch.Tensor] | None:
        """The prompt as a whole, and the picture's size: of the original, what was cropped from it, and the target."""
        pooled = [prompt.pooled_embeds for prompt in prompts if prompt.pooled_embeds is not None]
        if not self._loaded.reads_size:
            return None
        height, width = (side * self.info.vae_scale_factor for side in latents.shape[-2:])
        sizes = latents.new_tensor([height, width, 0, 0, height, width], dtype=pooled[0].dtype)
        return {"text_embeds": torch.stack(pooled), "time_ids": sizes.repeat(len(latents), 1)}


def _check(unet: UNetTraits, latent_channels: int, reads_size: bool) -> None:
    """What its config says that it is given is what it will be given."""
    if unet.in_channels not in (latent_channels, 2 * latent_channels + 1):
        raise ManifestError(f"its denoiser takes {unet.in_channels} channels: a task that is not supported")
    told = ("text_time",) if reads_size else (None, "text")
    if unet.addition_embed_type not in told:
        own, known = repr(unet.addition_embed_type), " or ".join(repr(one) for one in told)
        raise ManifestError(f"its denoiser has addition_embed_type {own}; those of its family have {known}")
    if unet.time_cond_proj_dim is not None:
        raise ManifestError("its denoiser is told the guidance scale (time_cond_proj_dim), which is not supported")
