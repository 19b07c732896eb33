"""Stable Diffusion 1.x and 2.x, and their relatives with blocks removed, such as BK-SDM."""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from app.backends.latent_diffusion import LatentDiffusionBackend, Parts
from app.backends.loading import Loading
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.text import TextEncoder
from app.roms.catalog import Rom

_OFFSET = {"steps_offset": 1}  # whatever the file says: so diffusers' pipelines of this family have it


def load_stable_diffusion(rom: Rom, options: LoadOptions, pool: ComponentPool) -> LatentDiffusionBackend:
    """Load a diffusers directory. Raises ManifestError when its files do not fit together."""
    with Loading(rom, options, pool) as loading:
        tokenizer = loading.tokenizer(CLIPTokenizer, "tokenizer")
        encoder = TextEncoder(tokenizer, loading.text_encoder(CLIPTextModel, "text_encoder"))
        return LatentDiffusionBackend(
            Parts(
                (encoder,),
                loading.denoiser(UNet2DConditionModel),
                loading.autoencoders(),
                loading.scheduler() | _OFFSET,
                loading.memory(),
                loading.shares(),
            )
        )
