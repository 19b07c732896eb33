"""A LoRA over the attention of a U-Net (Hu et al. 2021): its matrices, to train and to save."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import nn

FILE_NAME = "lora.safetensors"
_PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
_MATRICES = (".lora_A.default", ".lora_B.default")


def add_lora(unet: UNet2DConditionModel, rank: int, seed: int) -> nn.ModuleList:
    """Lay matrices of this rank over the projections of attention, and freeze all else; returns the matrices.

    What they add is zero at first. Their scale is 1: alpha is the rank.
    """
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_PROJECTIONS))
    return nn.ModuleList(module for name, module in unet.named_modules() if name.endswith(_MATRICES))


def save_lora(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write the matrices to `folder`/lora.safetensors, in diffusers' names."""
    matrices = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=matrices, weight_name=FILE_NAME)
