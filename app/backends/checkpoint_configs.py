"""The configs of a single-file checkpoint: those beside it, or the published models' with what the file tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from app.roms.manifest import read_json
from app.roms.single_file import UNET_PREFIX, Checkpoint
from app.roms.weights import read_metadata

_FIRST = f"{UNET_PREFIX}input_blocks.0.0.weight"  # [C, in_channels, 3, 3]
# Of the models of Stable Diffusion 2 alike in shape, those that predict v have wider values here (found by ComfyUI).
_TELLTALE, _TELLTALE_STD = f"{UNET_PREFIX}output_blocks.11.1.transformer_blocks.0.norm1.bias", 0.09
_V_SIZE = 96  # latent cells, that those were trained on

Tensors = Mapping[str, torch.Tensor]


def read_config(checkpoint: Checkpoint, name: str, tensors: Tensors) -> dict[str, Any]:
    """Of the component `name`."""
    config = read_json(checkpoint.configs / name / "config.json")
    if name == "unet" and not checkpoint.has_configs:
        config["in_channels"] = _in_channels(tensors)
        if checkpoint.architecture.name == "sd2" and _predicts_v(checkpoint, tensors):
            config["sample_size"] = _V_SIZE
    return config


def read_scheduler(checkpoint: Checkpoint, tensors: Tensors) -> dict[str, Any]:
    config = read_json(checkpoint.configs / "scheduler" / "scheduler_config.json")
    if not checkpoint.has_configs and _predicts_v(checkpoint, tensors):
        config["prediction_type"] = "v_prediction"
        if "ztsnr" in tensors:
            config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return config


def _predicts_v(checkpoint: Checkpoint, tensors: Tensors) -> bool:
    """By what its maker noted, by a tensor of the name, or by the values of one that tells them apart."""
    if (noted := read_metadata(checkpoint.path).get("modelspec.prediction_type")) is not None:
        return noted == "v"
    if checkpoint.architecture.name != "sd2" or _in_channels(tensors) != 4:
        return "v_pred" in tensors
    telltale = tensors.get(_TELLTALE)
    return telltale is not None and float(telltale.float().std(correction=0)) > _TELLTALE_STD


def _in_channels(tensors: Tensors) -> int:
    """9 for inpainting."""
    return tensors[_FIRST].shape[1]
