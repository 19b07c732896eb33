"""The files of tiny ROMs laid out as public repositories have them, beside files that are not to be loaded."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

_CLASSES: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def in_several_variants(rom: Path) -> None:
    """As stable-diffusion-v1-5 and its like: half precision, weights without moving average, pickles, single files."""
    for weights in _weight_files(rom):
        _decoy(weights, weights.with_suffix(".fp16.safetensors"))
        for name in ("pytorch_model.bin", "pytorch_model.fp16.bin"):
            _pickle(weights.with_name(name if weights.stem == "model" else f"diffusion_{name}"))
    unet = rom / "unet" / "diffusion_pytorch_model.safetensors"
    _decoy(unet, unet.with_suffix(".non_ema.safetensors"))
    _decoy(unet, rom / "v1-5-pruned-emaonly.safetensors")
    _pickle(rom / "v1-5-pruned.ckpt")


def beside_other_folders(rom: Path) -> None:
    """As stable-diffusion-xl-base-1.0: another autoencoder, and exports for other runtimes."""
    (rom / "vae_1_0").mkdir()
    _decoy(rom / "vae" / "diffusion_pytorch_model.safetensors", rom / "vae_1_0" / "diffusion_pytorch_model.safetensors")
    for name in ("vae_encoder/model.onnx", "vae_decoder/model.onnx", "unet/model.onnx", "unet/model.onnx_data"):
        (rom / name).parent.mkdir(exist_ok=True)
        (rom / name).write_bytes(b"\x08\x07\x12\x07pytorch")
    for name in ("unet/openvino_model.bin", "text_encoder/openvino_model.bin", "text_encoder/flax_model.msgpack"):
        (rom / name).write_bytes(b"\0" * 64)


def with_a_safety_checker_that_was_deleted(rom: Path) -> None:
    """The index lists it, and the folder is not there."""
    path = rom / "model_index.json"
    listed = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    listed |= {"feature_extractor": ["transformers", "CLIPFeatureExtractor"]}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | listed), encoding="utf-8")


def in_half_precision_alone(rom: Path) -> None:
    for weights in _weight_files(rom):
        half = {name: tensor.half() for name, tensor in load_file(weights).items()}
        save_file(half, weights.with_suffix(".fp16.safetensors"), {"format": "pt"})
        weights.unlink()


def in_parts(rom: Path, variant: str | None = None) -> None:
    for weights in _weight_files(rom):
        model = _CLASSES[weights.parent.name].from_pretrained(weights.parent)
        weights.unlink()
        model.save_pretrained(weights.parent, max_shard_size="60KB", variant=variant)
        assert len(list(weights.parent.glob("*-of-*.safetensors"))) > 1
        if variant is None:
            save_file({"nothing": torch.zeros(1)}, weights.with_suffix(".fp16.safetensors"))


def in_parts_in_half_precision_alone(rom: Path) -> None:
    in_parts(rom, "fp16")


def with_names_of_old(rom: Path) -> None:
    """As in 2022: other names in the autoencoder's attention, a prefix and a buffer in the text encoder's weights."""
    path = rom / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    renamed = {name: re.sub("|".join(_OLD_ATTENTION), lambda found: _OLD_ATTENTION[found[0]], name) for name in tensors}
    assert set(renamed.values()) != set(tensors)
    save_file({renamed[name]: tensor for name, tensor in tensors.items()}, path, {"format": "pt"})
    path = rom / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in load_file(path).items()}
    length = len(tensors["text_model.embeddings.position_embedding.weight"])
    tensors["text_model.embeddings.position_ids"] = torch.arange(length)[None]
    save_file(tensors, path, {"format": "pt"})
    _tokenizers_of_old(rom)


def _tokenizers_of_old(rom: Path) -> None:
    """Vocabulary and merges in files of their own, as every public repository of these families has them."""
    for folder in rom.glob("tokenizer*"):
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
        added = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        special = {name: config[name] for name in ("bos_token", "eos_token", "unk_token")}
        (folder / "special_tokens_map.json").write_text(
            json.dumps(special | {"pad_token": config["pad_token"]}), encoding="utf-8"
        )
        wrapped = {name: added | {"content": content} for name, content in special.items()}
        public = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", **wrapped}
        public |= {name: config[name] for name in ("pad_token", "model_max_length")}
        public |= {"tokenizer_class": "CLIPTokenizer", "special_tokens_map_file": "./special_tokens_map.json"}
        (folder / "tokenizer_config.json").write_text(json.dumps(public), encoding="utf-8")


def _weight_files(rom: Path) -> list[Path]:
    return sorted(path for name in _CLASSES for path in (rom / name).glob("*.safetensors"))


def _decoy(weights: Path, path: Path) -> None:
    """The same tensors with other values: a model made of them is another."""
    save_file({name: tensor * 0.5 for name, tensor in load_file(weights).items()}, path, {"format": "pt"})


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": [0.0] * 100}))
