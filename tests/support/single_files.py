"""Tiny ROMs as single files, with the tensors named as Stable Diffusion's first code names them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import load_file, save_file

from app.roms.manifest import read_json

Tensors = dict[str, torch.Tensor]
_CONFIGS = ("unet", "vae", "text_encoder", "text_encoder_2", "scheduler", "tokenizer", "tokenizer_2", "vae_tiny")
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write_single_file_rom(directory: Path, source: Path, *, open_clip: bool = False, **fields: Any) -> Path:
    """The diffusers ROM `source` as one file with its configs beside. Returns `directory`.

    `open_clip`: its text encoder is named as that of Stable Diffusion 2.
    """
    directory.mkdir(parents=True)
    (directory / "rom.yaml").write_text(yaml.safe_dump({"id": directory.name} | fields), encoding="utf-8")
    for name in _CONFIGS:
        if (source / name).is_dir():
            weights = () if name == "vae_tiny" else ("*.safetensors",)
            shutil.copytree(source / name, directory / name, ignore=shutil.ignore_patterns(*weights))
    save_file(single_file(source, open_clip), directory / "model.safetensors", {"format": "pt"})
    return directory


def single_file(source: Path, open_clip: bool = False) -> Tensors:
    layers = read_json(source / "unet" / "config.json")["layers_per_block"]
    unet = {_unet(name, layers): tensor for name, tensor in _read(source, "unet").items()}
    tensors = _prefixed("model.diffusion_model.", {_behind(name, unet): tensor for name, tensor in unet.items()})
    blocks = len(read_json(source / "vae" / "config.json")["block_out_channels"])
    tensors |= _prefixed("first_stage_model.", dict(_vae(k, v, blocks) for k, v in _read(source, "vae").items()))
    text = {f"text_model.{key.removeprefix('text_model.')}": v for key, v in _read(source, "text_encoder").items()}
    if (source / "text_encoder_2").is_dir():
        tensors |= _prefixed("conditioner.embedders.0.transformer.", text)
        tensors |= _prefixed("conditioner.embedders.1.model.", _as_open_clip(_read(source, "text_encoder_2")))
        tensors["conditioner.embedders.1.model.logit_scale"] = torch.tensor(1.0)
    elif open_clip:
        tensors |= _prefixed("cond_stage_model.model.", _with_a_last_layer(_as_open_clip(text)))
    else:
        tensors |= _prefixed("cond_stage_model.transformer.", text)
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(16.0)[None]
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def _read(source: Path, name: str) -> Tensors:
    (path,) = (source / name).glob("*.safetensors")
    return load_file(path)


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _unet(name: str, layers: int) -> str:
    mapping = DIFFUSERS_TO_LDM_MAPPING["unet"]
    fixed = mapping["layers"] | mapping["addition_embed_type"]
    if name in fixed:
        return str(fixed[name])
    block, kind, rest = _split_block(name)
    if ".resnets." in name:
        rest = re.sub(r"\w+", lambda match: _RESNET.get(match[0], match[0]), rest, count=1)
    number, layer = block
    if name.startswith("mid_block"):
        return f"middle_block.{2 * layer if kind == 'resnets' else 1}.{rest}"
    if name.startswith("down_blocks"):
        place = 1 + number * (layers + 1) + layer
        if kind == "downsamplers":
            return f"input_blocks.{(number + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{place}.{0 if kind == 'resnets' else 1}.{rest}"
    if kind == "upsamplers":
        return f"output_blocks.{(number + 1) * (layers + 1) - 1}.@.{rest}"
    return f"output_blocks.{number * (layers + 1) + layer}.{0 if kind == 'resnets' else 1}.{rest}"


def _behind(name: str, unet: Tensors) -> str:
    """An upsampler's number is the next free one in its block, behind an attention where there is one."""
    block = name.partition(".@.")[0]
    return name.replace("@", "2" if any(other.startswith(f"{block}.1.") for other in unet) else "1")


def _split_block(name: str) -> tuple[tuple[int, int], str, str]:
    """Numbers of the block and the layer in it, the layer's kind, and what follows."""
    match = re.match(r"(?:(?:down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.*)", name)
    assert match, name
    return (int(match[1] or 0), int(match[3])), match[2], match[4]


def _vae(name: str, tensor: torch.Tensor, blocks: int) -> tuple[str, torch.Tensor]:
    fixed = DIFFUSERS_TO_LDM_MAPPING["vae"]
    if name in fixed:
        return str(fixed[name]), tensor
    side, _, inner = name.partition(".")
    (number, layer), kind, rest = _split_block(inner)
    if kind == "attentions":
        for ours, theirs in _VAE_ATTENTION.items():
            rest = rest.replace(ours, theirs)
        return f"{side}.mid.attn_1.{rest}", tensor[:, :, None, None] if tensor.ndim == 2 else tensor
    rest = rest.replace("conv_shortcut", "nin_shortcut")
    if inner.startswith("mid_block"):
        return f"{side}.mid.block_{layer + 1}.{rest}", tensor
    if inner.startswith("down_blocks"):
        place = f"block.{layer}" if kind == "resnets" else "downsample"
        return f"{side}.down.{number}.{place}.{rest}", tensor
    place = f"block.{layer}" if kind == "resnets" else "upsample"
    return f"{side}.up.{blocks - 1 - number}.{place}.{rest}", tensor


def _as_open_clip(tensors: Tensors) -> Tensors:
    made: Tensors = {}
    for key, tensor in tensors.items():
        name = key.removeprefix("text_model.")
        if ".q_proj." in name:
            parts = [tensors[key.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            layer = re.search(r"\d+", name)
            assert layer
            made[f"transformer.resblocks.{layer[0]}.attn.in_proj_{name.rsplit('.', 1)[1]}"] = torch.cat(parts)
        elif name == "text_projection.weight":
            made["text_projection"] = tensor.T
        elif not re.search(r"\.[kv]_proj\.", name):
            for ours, theirs in _OPEN_CLIP.items():
                name = name.replace(ours, theirs)
            made[name] = tensor
    return made


def _with_a_last_layer(tensors: Tensors) -> Tensors:
    """As the published files: a layer more than Stable Diffusion 2 reads, and a projection."""
    numbers = {int(match[1]) for name in tensors if (match := re.search(r"resblocks\.(\d+)", name))}
    last = {
        name.replace(f"resblocks.{max(numbers)}.", f"resblocks.{max(numbers) + 1}."): tensor * 2
        for name, tensor in tensors.items()
        if f"resblocks.{max(numbers)}." in name
    }
    width = len(tensors["ln_final.weight"])
    return tensors | last | {"text_projection": torch.ones(width, width), "logit_scale": torch.tensor(1.0)}
