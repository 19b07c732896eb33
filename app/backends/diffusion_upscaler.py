"""Latent diffusion that enlarges, in the layout of stabilityai/stable-diffusion-x4-upscaler (Rombach et al. 2022).

Diffusers' StableDiffusionUpscalePipeline takes the steps; weights are loaded and shared as those of every ROM.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionUpscalePipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from app.backends.autoencoder import Autoencoder
from app.backends.base import Guide, UpscalerInfo
from app.backends.devices import return_memory
from app.backends.loading import Loading
from app.backends.pool import Holding
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import Preset
from app.roms.memory import MemoryModel

_IMAGE_CHANNELS = 3
_GUIDED_ROWS = 2
_NOISE_LEVEL = 20  # training steps of noise over the small image: what diffusers' pipeline has unless told
_WARM_UP_SIDE = 16  # pixels


def load_diffusion_upscaler(loading: Loading, rom: Rom) -> DiffusionUpscaler:
    """Raises ManifestError where the parts do not fit together."""
    unet = loading.model(UNet2DConditionModel, "unet")
    vae = loading.model(AutoencoderKL, "vae")
    if unet.config.in_channels != vae.config.latent_channels + _IMAGE_CHANNELS:
        raise ManifestError(f"its denoiser takes {unet.config.in_channels} channels: it is no upscaler")
    pipeline = StableDiffusionUpscalePipeline(
        vae=vae,
        text_encoder=loading.text_encoder(CLIPTextModel, "text_encoder"),
        tokenizer=loading.tokenizer(CLIPTokenizer, "tokenizer"),
        unet=unet,
        low_res_scheduler=loading.scheduler_object("low_res_scheduler"),
        scheduler=loading.scheduler_object("scheduler"),
        max_noise_level=loading.index.get("max_noise_level", 350),
    )
    pipeline.set_progress_bar_config(disable=True)
    return DiffusionUpscaler(pipeline, loading.holding, loading.memory(), rom.manifest.presets["default"])


class DiffusionUpscaler:
    """Each image by itself, with the steps and the guidance of the ROM's default preset."""

    def __init__(self, pipeline: Any, holding: Holding, memory: MemoryModel, preset: Preset) -> None:
        self._pipeline: Any = pipeline
        self._autoencoder = Autoencoder(pipeline.vae, upcasts_half=True)
        self._holding = holding
        self._memory = memory
        self._multiple = 2 ** (len(pipeline.unet.config.block_out_channels) - 1)  # pixels that sides are padded to
        self._steps, self._guidance_scale = preset.num_inference_steps, preset.guidance_scale
        self.info = UpscalerInfo(
            factors=(self._autoencoder.scale_factor,),
            device=pipeline.unet.device,
            parts=holding.sizes,
            pixel_prior_s=self._warm_up(),
            num_inference_steps=self._steps,
            guidance_scale=self._guidance_scale,
        )

    def needed_bytes(self, height: int, width: int, factor: int) -> int:
        cells = height * width
        decoding = self._memory.of_decoding(cells * factor**2, "full")
        return max(self._memory.of_forward(_GUIDED_ROWS, cells), decoding)

    def upscale(self, image: torch.Tensor, factor: int, guide: Guide, on_piece: Callable[[], None]) -> torch.Tensor:
        """The image [3, H, W] enlarged, drawn anew by diffusion; `on_piece` is called after every step."""
        return self._run(image, factor, guide, on_piece, self._steps)

    def park(self) -> None:
        self._holding.park()

    def resume(self) -> None:
        self._holding.resume()

    def unload(self) -> None:
        self._holding.release()
        self._pipeline = self._autoencoder = None  # type: ignore[assignment]
        return_memory()

    @torch.inference_mode()
    def _run(
        self, image: torch.Tensor, factor: int, guide: Guide, on_piece: Callable[[], None], steps: int
    ) -> torch.Tensor:
        _, height, width = image.shape
        margins = (0, -width % self._multiple, 0, -height % self._multiple)
        padded = F.pad(image[None].to(self._pipeline.unet.device), margins, mode="replicate")
        latents = self._pipeline(
            guide.prompt,
            image=(padded / 2 + 0.5).clamp(0, 1),
            num_inference_steps=steps,
            guidance_scale=self._guidance_scale,
            noise_level=_NOISE_LEVEL,
            generator=torch.Generator().manual_seed(guide.seed),
            output_type="latent",
            callback=lambda *_: on_piece(),
        ).images
        enlarged = self._autoencoder.decode(latents.float())[0]
        return enlarged[:, : height * factor, : width * factor]

    def _warm_up(self) -> float:
        """Seconds a pixel of the enlarged image, told by one step."""
        side, factor = max(_WARM_UP_SIDE, self._multiple), self._autoencoder.scale_factor
        started = time.perf_counter()
        self._run(torch.zeros(3, side, side), factor, Guide("", 0), lambda: None, 1).sum().item()
        seconds = time.perf_counter() - started
        return seconds * self._steps / float(side * factor) ** 2
