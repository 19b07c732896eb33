"""Stable Diffusion 1.x and 2.x: CLIP text encoder, UNet2DConditionModel, AutoencoderKL or AutoencoderTiny."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from app.backends.base import BackendInfo, Conditioning, EncodedImage
from app.backends.devices import flops_per_s, pick_device, pick_dtype, pick_memory_format, return_memory
from app.backends.samplers import DiffusersAdapter
from app.backends.schedulers import find_scheduler
from app.diffusion.schedules import NoiseSchedule
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import read_json

_ACTIVATIONS = 48  # tensors as large as the first block's output that a forward holds at its peak, about
_FLOPS_PER_WEIGHT = 0.5  # and latent cell: most weights of a U-Net see a quarter of the cells or fewer
_AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


class StableDiffusionBackend:
    def __init__(
        self, tokenizer: Any, text_encoder: Any, unet: Any, vae: Any, scheduler: dict[str, Any], device: torch.device
    ) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._unet = unet
        self._vae = vae
        self._memory_format = pick_memory_format(device, unet.dtype)
        adapter = DiffusersAdapter(scheduler)
        default_scheduler, unoffered_scheduler = find_scheduler(scheduler, adapter)
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        self.info = BackendInfo(
            latent_channels=vae.config.latent_channels,
            denoiser_channels=unet.config.in_channels,
            vae_scale_factor=scale,
            default_size=unet.config.sample_size * scale,
            default_scheduler=default_scheduler,
            unoffered_scheduler=unoffered_scheduler,
            noise_schedule=NoiseSchedule.from_config(scheduler),
            scheduler_adapter=adapter,
            device=device,
            nbytes=sum(tensor.nbytes for model in (text_encoder, unet, vae) for tensor in model.parameters()),
            cell_bytes=unet.config.block_out_channels[0] * _ACTIVATIONS * unet.dtype.itemsize,
            cell_step_prior_s=_FLOPS_PER_WEIGHT * unet.num_parameters() / flops_per_s(device, unet.dtype),
        )

    @torch.inference_mode()
    def encode_prompt(self, prompt: str) -> Conditioning:
        length = self._tokenizer.model_max_length
        batch = self._tokenizer(
            prompt,
            padding="max_length",
            max_length=length,
            truncation=True,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        fitted = int(batch.offset_mapping[0, :, 1].max()) if len(prompt) else 0
        states = self._text_encoder(batch.input_ids.to(self.info.device)).last_hidden_state[0]
        return Conditioning(states, prompt[fitted:].strip() if _is_full(batch) else "")

    @torch.inference_mode()
    def encode_image(self, image: torch.Tensor) -> EncodedImage:
        encoded = self._vae.encode(image[None].to(self.info.device, self._vae.dtype))
        scale = self._vae.config.scaling_factor
        if isinstance(self._vae, AutoencoderTiny):
            return EncodedImage(encoded.latents[0].float() * scale)
        distribution = encoded.latent_dist
        return EncodedImage(distribution.mean[0].float() * scale, distribution.std[0].float() * scale)

    @torch.inference_mode()
    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        sample = latents.to(self._unet.dtype, memory_format=self._memory_format)
        output = self._unet(sample, timestep, encoder_hidden_states=prompt_embeds)
        predicted: torch.Tensor = output.sample.float()
        return predicted

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, *, upcast: bool = False) -> torch.Tensor:
        dtype = self._vae.dtype
        scaled = latents / self._vae.config.scaling_factor
        if not upcast or dtype == torch.float32:
            return self._decode(scaled.to(dtype))
        self._vae.to(torch.float32)
        try:
            return self._decode(scaled)
        finally:
            self._vae.to(dtype)

    def _decode(self, scaled: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self._vae.decode(scaled).sample.float()
        return images

    def unload(self) -> None:
        del self._text_encoder, self._unet, self._vae
        return_memory()


def load_stable_diffusion(rom: Rom, device_name: str, dtype_name: str) -> StableDiffusionBackend:
    """Load a diffusers directory. Raises ManifestError when its files do not fit together."""
    device = pick_device(device_name)
    dtype = pick_dtype(dtype_name, device)
    index = read_json(rom.directory / "model_index.json")
    transformers_logging.disable_progress_bar()  # the log is for events
    with _loading_errors():
        vae_class = _AUTOENCODERS[index["vae"][1]]
        tokenizer = CLIPTokenizer.from_pretrained(rom.directory / "tokenizer", local_files_only=True)
        text_encoder, unet, vae = (
            _load(cls, rom.directory / name, dtype, device)
            for cls, name in ((CLIPTextModel, "text_encoder"), (UNet2DConditionModel, "unet"), (vae_class, "vae"))
        )
    if unet.config.in_channels not in (vae.config.latent_channels, 2 * vae.config.latent_channels + 1):
        raise ManifestError(f"its denoiser takes {unet.config.in_channels} channels: a task that is not supported")
    scheduler = read_json(rom.directory / "scheduler" / "scheduler_config.json")
    return StableDiffusionBackend(tokenizer, text_encoder, unet, vae, scheduler, device)


def _load(cls: Any, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    model = cls.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)
    return model.to(device, memory_format=pick_memory_format(device, dtype)).eval().requires_grad_(False)


@contextmanager
def _loading_errors() -> Iterator[None]:
    """Foreign errors of loading, as ManifestError in one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ManifestError(f"the model does not load: {str(error).strip().splitlines()[0]}") from error


def _is_full(batch: Any) -> bool:
    """Whether the tokens fill the text encoder, so that some of the prompt may have been cut."""
    return bool(batch.attention_mask.all())
