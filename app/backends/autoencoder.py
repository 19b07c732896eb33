"""Pixels to latents and back: AutoencoderKL, or AutoencoderTiny, which is many times faster and less exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from app.backends.base import EncodedImage

AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
_TILE = 256  # pixels a side, of a picture that is decoded in parts
_Made = TypeVar("_Made")


class Autoencoder:
    """`upcasts_half`: in float16 it computes in float32 where its config says that its activations overflow."""

    def __init__(self, model: Any, *, upcasts_half: bool = False) -> None:
        config, device = model.config, model.device
        self.model = model
        self.latent_channels: int = config.latent_channels
        self.scale_factor: int = 2 ** (len(config.block_out_channels) - 1)  # pixels a latent cell
        # the denoiser's latents are (the model's own - shift) * factor, by channel
        self._shift, self._factor = torch.zeros(1, device=device), torch.tensor([config.scaling_factor], device=device)
        if config.get("latents_mean") is not None and config.get("latents_std") is not None:
            self._shift = torch.tensor(config.latents_mean, device=device).view(-1, 1, 1)
            self._factor = self._factor / torch.tensor(config.latents_std, device=device).view(-1, 1, 1)
        # AutoencoderTiny takes tiles to be of a scale of 8, whatever its own
        self._can_tile = getattr(model, "spatial_scale_factor", self.scale_factor) == self.scale_factor
        model.tile_sample_min_size = _TILE  # diffusers' own is as large as the pictures that the model was made for
        model.tile_latent_min_size = _TILE // self.scale_factor
        self._overflows = upcasts_half and model.dtype == torch.float16 and config.force_upcast

    def encode(self, image: torch.Tensor) -> EncodedImage:
        """RGB in -1..1, float32 [3, H, W], to latents as the denoiser reads them."""
        return self._in_float32(self._encode, image) if self._overflows else self._encode(image)

    def decode(self, latents: torch.Tensor, *, upcast: bool = False, tiled: bool = False) -> torch.Tensor:
        """Latents [B, C, h, w] to RGB in -1..1, float32 [B, 3, H, W]; `upcast` computes in float32."""
        own = latents / self._factor + self._shift
        self.model.use_tiling = tiled and self._can_tile
        return self._in_float32(self._decode, own) if upcast or self._overflows else self._decode(own)

    def _encode(self, image: torch.Tensor) -> EncodedImage:
        encoded = self.model.encode(image[None].to(self.model.device, self.model.dtype))
        if isinstance(self.model, AutoencoderTiny):
            return EncodedImage((encoded.latents[0].float() - self._shift) * self._factor)
        mean, std = encoded.latent_dist.mean[0].float(), encoded.latent_dist.std[0].float()
        return EncodedImage((mean - self._shift) * self._factor, std * self._factor)

    def _decode(self, own: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.model.decode(own.to(self.model.dtype)).sample.float()
        return images

    def _in_float32(self, compute: Callable[[torch.Tensor], _Made], value: torch.Tensor) -> _Made:
        dtype = self.model.dtype
        if dtype == torch.float32:
            return compute(value)
        self.model.to(torch.float32)
        try:
            return compute(value)
        finally:
            self.model.to(dtype)
