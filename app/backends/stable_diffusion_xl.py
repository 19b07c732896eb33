"""Stable Diffusion XL, and its relatives with blocks removed, such as SSD-1B (Podell et al. 2023)."""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from app.backends.latent_diffusion import LatentDiffusionBackend, Parts
from app.backends.loading import Loading
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.text import TextEncoder
from app.roms.catalog import Rom

_TEXT_ENCODERS = {"": CLIPTextModel, "_2": CLIPTextModelWithProjection}


def load_stable_diffusion_xl(rom: Rom, options: LoadOptions, pool: ComponentPool) -> LatentDiffusionBackend:
    """Load a diffusers directory. Raises ManifestError when its files do not fit together."""
    with Loading(rom, options, pool) as loading:
        text_encoders = tuple(
            TextEncoder(
                loading.tokenizer(CLIPTokenizer, f"tokenizer{number}"),
                loading.text_encoder(text_model, f"text_encoder{number}"),
                penultimate=True,
            )
            for number, text_model in _TEXT_ENCODERS.items()
        )
        return LatentDiffusionBackend(
            Parts(
                text_encoders,
                loading.denoiser(UNet2DConditionModel),
                loading.autoencoders(upcasts_half=True),
                loading.scheduler(),
                loading.memory(),
                loading.shares(),
                reads_size=True,
                zeros_for_none=bool(loading.index.get("force_zeros_for_empty_prompt", True)),
            )
        )
