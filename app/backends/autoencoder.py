"""Pixels to latents and back: AutoencoderKL, or AutoencoderTiny, which is many times faster and less exact."""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from app.backends.base import EncodedImage

AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
_TILE = 256  # pixels a side, of a picture that is decoded in parts


class Autoencoder:
    """`upcasts_half`: in float16 it computes in float32 where its config says that its activations overflow.

    The model may be of several ROMs and in use in several threads: nothing of it is changed.
    """

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
        self._tiled = _in_tiles(model, self.scale_factor)
        self._overflows = upcasts_half and model.dtype == torch.float16 and config.force_upcast

    def encode(self, image: torch.Tensor) -> EncodedImage:
        """RGB in -1..1, float32 [3, H, W], to latents as the denoiser reads them."""
        model = _in_float32(self.model) if self._overflows else self.model
        encoded = model.encode(image[None].to(model.device, model.dtype))
        if isinstance(model, AutoencoderTiny):
            return EncodedImage((encoded.latents[0].float() - self._shift) * self._factor)
        mean, std = encoded.latent_dist.mean[0].float(), encoded.latent_dist.std[0].float()
        return EncodedImage((mean - self._shift) * self._factor, std * self._factor)

    def decode(self, latents: torch.Tensor, *, upcast: bool = False, tiled: bool = False) -> torch.Tensor:
        """Latents [B, C, h, w] to RGB in -1..1, float32 [B, 3, H, W]; `upcast` computes in float32."""
        model = self._tiled if tiled else self.model
        if upcast or self._overflows:
            model = _in_float32(model)
        own = latents / self._factor + self._shift
        images: torch.Tensor = model.decode(own.to(model.dtype)).sample.float()
        return images


def _in_tiles(model: Any, scale_factor: int) -> Any:
    """A model of the same weights that decodes a part of the picture at a time."""
    if getattr(model, "spatial_scale_factor", scale_factor) != scale_factor:
        return model  # AutoencoderTiny takes tiles to be of a scale of 8, whatever its own
    tiled = copy.copy(model)
    tiled.use_tiling = True
    tiled.tile_sample_min_size = _TILE  # diffusers' own is as large as the pictures that the model was made for
    tiled.tile_latent_min_size = _TILE // scale_factor
    return tiled


def _in_float32(model: Any) -> Any:
    """The model, or a copy where it is of another precision."""
    if model.dtype == torch.float32:
        return model
    weights = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(weight): weight.float() for weight in weights if weight.is_floating_point()})
