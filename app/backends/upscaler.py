"""The family `upscaler`: models that enlarge images."""

from __future__ import annotations

from app.backends.base import Upscaler
from app.backends.loading import Loading
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.srresnet import SRResNet
from app.backends.srresnet_upscaler import SRResNetUpscaler
from app.roms.catalog import Rom
from app.roms.upscalers import SRRESNET


def load_upscaler(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Upscaler:
    """An SRResNet, or the models of diffusers' StableDiffusionUpscalePipeline. Raises ManifestError."""
    with Loading(rom, options, pool) as loading:
        if SRRESNET in loading.index:
            return SRResNetUpscaler(loading.model(SRResNet, SRRESNET), loading.holding)
        from app.backends.diffusion_upscaler import load_diffusion_upscaler

        return load_diffusion_upscaler(loading, rom)
