"""The program that converts a U-Net: `python -m app.backends.openvino_conversion CLASS SOURCE VARIANT TARGET DTYPE`."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.embeddings import Timesteps

from app.backends.openvino_files import ABOUT, MODEL
from app.backends.openvino_package import import_openvino
from app.backends.unet import UNetTraits

_ROWS, _LENGTH = 2, 7  # of the example; the converted model takes any
_SIZES = 6  # of the picture, that Stable Diffusion XL is told
# Latent cells, at first odd and so at every level: U-Nets halve sizes and then ask for the one they had, which only
# such an example shows. What was traced from it is right for all sizes.
_HEIGHT, _WIDTH = 17, 33


class FlatUNet(torch.nn.Module):
    """A U-Net that takes and gives float32 tensors, and computes in its own precision.

    OpenVINO computes all of a model in one precision, and the sine of a large number is noise in bfloat16. So the waves
    of timesteps and sizes come as inputs, computed in float32; with them inside, results were 5 dB further off.
    """

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet
        unet.get_time_embed = lambda sample, timestep: timestep.to(sample.dtype)
        unet.add_time_proj = torch.nn.Identity()

    def forward(
        self,
        sample: torch.Tensor,  # [B, C, h, w]
        timestep: torch.Tensor,  # [B, W]
        encoder_hidden_states: torch.Tensor,  # [B, L, D]
        text_embeds: torch.Tensor | None = None,  # [B, P]
        time_ids: torch.Tensor | None = None,  # [B, 6, W]
    ) -> torch.Tensor:
        dtype = self.unet.dtype
        added = None
        if text_embeds is not None and time_ids is not None:
            added = {"text_embeds": text_embeds.to(dtype), "time_ids": time_ids.to(dtype)}
        states = encoder_hidden_states.to(dtype)
        output = self.unet(sample.to(dtype), timestep, states, added_cond_kwargs=added, return_dict=False)[0]
        return output.float()  # type: ignore[no-any-return]


def waves_of(unet: Any) -> dict[str, dict[str, Any]]:
    """By the input that is turned into waves, what diffusers' Timesteps takes. Raises ValueError for other kinds."""
    modules = {"timestep": unet.time_proj}
    if unet.config.addition_embed_type == "text_time":
        modules["time_ids"] = unet.add_time_proj
    if not all(isinstance(module, Timesteps) for module in modules.values()):
        raise ValueError("its timesteps are not embedded as sines and cosines")
    names = ("num_channels", "flip_sin_to_cos", "downscale_freq_shift", "scale")
    return {key: {name: getattr(module, name) for name in names} for key, module in modules.items()}


def example(config: Any, waves: dict[str, dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Inputs that show the way through the model."""
    inputs = {
        "sample": torch.zeros(_ROWS, config.in_channels, _HEIGHT, _WIDTH),
        "timestep": torch.zeros(_ROWS, waves["timestep"]["num_channels"]),
        "encoder_hidden_states": torch.zeros(_ROWS, _LENGTH, config.cross_attention_dim),
    }
    if "time_ids" in waves:
        sizes = torch.zeros(_ROWS, _SIZES, waves["time_ids"]["num_channels"])
        pooled = config.projection_class_embeddings_input_dim - sizes[0].numel()
        inputs |= {"text_embeds": torch.zeros(_ROWS, pooled), "time_ids": sizes}
    return inputs


def convert(unet: Any, folder: Path) -> None:
    """Write the model, its weights in the U-Net's precision, and what is told of it."""
    openvino = import_openvino()
    waves = waves_of(unet)
    about = {"traits": asdict(UNetTraits.of(unet)), "waves": waves}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    inputs = example(unet.config, waves)
    model = openvino.convert_model(FlatUNet(unet), example_input=inputs)
    shapes = {name: [-1, *tensor.shape[1:]] for name, tensor in inputs.items()}
    shapes["sample"][2:] = [-1, -1]
    shapes["encoder_hidden_states"][1] = -1
    model.reshape(shapes)  # other sizes are refused, which otherwise give other results
    openvino.save_model(model, folder / MODEL, compress_to_fp16=False)


def main(class_name: str, source: str, variant: str, target: str, precision: str) -> None:
    """One at a time converts for a folder, which appears when it is whole; the others wait, and find it."""
    folder = Path(target)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)  # of one that was killed
        part.mkdir()
        cls = getattr(diffusers, class_name)
        options = {"dtype": getattr(torch, precision), "variant": variant or None}
        unet = cls.from_pretrained(source, use_safetensors=True, local_files_only=True, **options)
        convert(unet.eval().requires_grad_(False), part)
        part.rename(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
