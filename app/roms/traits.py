"""What a ROM's configs tell of it before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import INDEX_NAME, read_json

_LATENT_CHANNELS = 4  # where a config does not say


@dataclass(frozen=True)
class Traits:
    side: int | None = None  # pixels that it was made for, square; None: its files do not tell
    scale_factor: int = 8  # pixels a latent cell
    needs_mask: bool = False  # whether it does nothing but inpainting
    denoiser_parameters: int = 0


def read_traits(rom: Rom) -> Traits:
    """As far as its files tell; the rest is as it is for most."""
    sizes = {component.name: component.num_parameters for component in rom.components}
    traits = Traits(denoiser_parameters=sizes.get("unet", rom.num_parameters))
    directory = rom.model_directory
    if not (directory / INDEX_NAME).exists() or not (directory / "unet").is_dir():
        return traits
    try:
        unet, vae = (read_json(directory / name / "config.json") for name in ("unet", "vae"))
    except ManifestError:  # it will be told of when the ROM is loaded
        return traits
    scale_factor = 2 ** (len(vae.get("block_out_channels") or (0,) * 4) - 1)
    latent_channels = vae.get("latent_channels") or _LATENT_CHANNELS
    return Traits(
        side=int(unet.get("sample_size") or 64) * scale_factor,
        scale_factor=scale_factor,
        needs_mask=unet.get("in_channels") == 2 * latent_channels + 1,
        denoiser_parameters=traits.denoiser_parameters,
    )
