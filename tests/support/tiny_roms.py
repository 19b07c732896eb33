"""The tiny ROMs that tests ask for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.tiny_rom import STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

V_PREDICTION: dict[str, Any] = STABLE_DIFFUSION_SCHEDULE | {
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}
SAMPLE = STABLE_DIFFUSION_SCHEDULE | {"prediction_type": "sample"}
ROMS = {
    "sd": TinyRom(),
    "bk-sdm": TinyRom("bk-sdm", seed=1),
    "sdxl": TinyRom("sdxl", seed=2),
    "ssd-1b": TinyRom("ssd-1b", seed=3),
    "sd-text": TinyRom("sd-text", seed=12),
    "sd v_prediction": TinyRom("sd", "AutoencoderTiny", scheduler_config=V_PREDICTION, seed=4),
    "sdxl v_prediction": TinyRom("sdxl", "AutoencoderTiny", scheduler_config=V_PREDICTION, seed=5),
    "sd sample": TinyRom("sd", scheduler_config=SAMPLE, seed=6),
    "sdxl sample": TinyRom("sdxl", scheduler_config=SAMPLE, seed=7),
    "sdxl without zeros": TinyRom("sdxl", force_zeros_for_empty_prompt=False, seed=8),
    "sdxl with latents_mean": TinyRom(
        "sdxl",
        autoencoder_config={"latents_mean": [-1.6, 0.4, 2.0, -0.7], "latents_std": [8.4, 5.0, 6.1, 0.7]},
        seed=9,
    ),
    "sd with a tiny decoder": TinyRom("sd", with_tiny_decoder=True, seed=10),
    "sdxl with a tiny decoder": TinyRom("sdxl", with_tiny_decoder=True, seed=11),
}
ROMS |= {f"{name} inpainting": replace(ROMS[name], unet_channels=9) for name in ("sd", "bk-sdm", "sdxl", "ssd-1b")}


class TinyRoms:
    """Each made when it is first asked for. Read them, do not write to them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __getitem__(self, name: str) -> Path:
        directory = self._root / name
        return directory if directory.exists() else build_tiny_rom(directory, ROMS[name])
