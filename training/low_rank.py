"""LoRAs over a U-Net (Hu et al. 2021): matrices to train, or those that come nearest to what a training has changed."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import nn

FILE_NAME = "lora.safetensors"
_PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
_LAYERS = (nn.Linear, nn.Conv2d)
_MATRICES = (".lora_A.default", ".lora_B.default")


def add_lora(unet: UNet2DConditionModel, rank: int, seed: int) -> nn.ModuleList:
    """Lay matrices of this rank over the projections of attention, and freeze all else; returns the matrices.

    What they add is zero at first. Their scale is 1: alpha is the rank.
    """
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_PROJECTIONS))
    return nn.ModuleList(module for name, module in unet.named_modules() if name.endswith(_MATRICES))


def lay_difference(unet: UNet2DConditionModel, tuned: UNet2DConditionModel, rank: int) -> None:
    """Lay over every layer of `unet` the matrices of this rank that come nearest to what `tuned` has there.

    They are of least squared error (Eckart and Young 1936). Biases and the weights of norms have to be equal.
    """
    weights = {name: module.weight for name, module in tuned.named_modules() if isinstance(module, _LAYERS)}
    ranks = {f"^{name}$": min(rank, *weight.flatten(1).shape) for name, weight in weights.items()}
    unet.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, rank_pattern=ranks, alpha_pattern=ranks, target_modules=list(weights))
    )
    for name, weight in weights.items():
        layer = unet.get_submodule(name)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        left, values, right = torch.linalg.svd((weight - layer.weight).flatten(1), full_matrices=False)
        scale = values[: len(down)].sqrt()
        up.data.copy_((left[:, : len(down)] * scale).reshape(up.shape))
        down.data.copy_((scale[:, None] * right[: len(down)]).reshape(down.shape))
    unet.requires_grad_(False)


def save_lora(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write the matrices to `folder`/lora.safetensors, in diffusers' names."""
    matrices = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=matrices, weight_name=FILE_NAME)
