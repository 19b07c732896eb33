"""A LoRA laid over the models of its base: their weights are shared, and the difference is added beside them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_peft, convert_unet_state_dict_to_peft
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file

from app.backends.sharing import share_weights
from app.errors import ManifestError
from app.roms.catalog import Rom
from app.roms.manifest import read_json
from app.roms.weights import read_metadata

_NAME = "lora"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_MODELS = ("unet", "text_encoder", "text_encoder_2")
_PEFT_CONFIG = "lora_adapter_metadata"  # where diffusers keeps it in a file's header
_BASE_IS_KEPT = (True, False, None, "gaussian")  # ways to begin a training

Matrices = dict[str, torch.Tensor]


def read_lora(rom: Rom) -> Lora:
    """The one that a ROM lays over its base. Raises ManifestError."""
    path = rom.directory / rom.components[-1].files[0]
    return Lora(path, rom.manifest.lora_scale, read_json(rom.model_directory / "unet" / "config.json"))


class Lora:
    """The matrices of one file, by the models of a pipeline that they are for."""

    def __init__(self, path: Path, scale: float, unet_config: dict[str, Any]) -> None:
        """Raises ManifestError where a tensor is for no model."""
        state = _fold_alphas(load_file(path))
        config = SimpleNamespace(layers_per_block=unet_config.get("layers_per_block", 2))
        state, _ = StableDiffusionXLLoraLoaderMixin.lora_state_dict(state, unet_config=config)
        self._peft_config: dict[str, Any] = json.loads(read_metadata(path).get(_PEFT_CONFIG, "{}"))
        self._path = path
        self._scale = scale
        self._matrices: dict[str, Matrices] = {}
        for name, tensor in state.items():
            model, _, rest = name.partition(".")
            if model not in _MODELS:
                raise ManifestError(f"{path.name}: {name} is of no model of its base")
            self._matrices.setdefault(model, {})[rest] = tensor

    def __contains__(self, model: str) -> bool:
        return model in self._matrices

    def over(self, name: str, base: Any) -> Any:
        """`base` with the difference, in a module that shares its weights; `base` itself where there is none to it.

        Raises ManifestError where the LoRA was made for another model.
        """
        if name not in self._matrices:
            return base
        matrices = _as_peft_names(name, base, self._matrices[name])
        self._check(name, base, matrices)
        model = share_weights(base)
        inject_adapter_in_model(self._config(name, matrices), model, _NAME, low_cpu_mem_usage=True, state_dict=matrices)
        scaled = {key: tensor.float() * (self._scale if key.endswith(_UP) else 1) for key, tensor in matrices.items()}
        cast = {key: tensor.to(base.device, base.dtype) for key, tensor in scaled.items()}
        set_peft_model_state_dict(model, cast, _NAME, low_cpu_mem_usage=True)
        return model.eval().requires_grad_(False)

    def _config(self, name: str, matrices: Matrices) -> Any:
        """As the file's header tells; otherwise each module's rank is its alpha too, and nothing is scaled any more."""
        prefix = f"{name}."
        told = {key.removeprefix(prefix): value for key, value in self._peft_config.items() if key.startswith(prefix)}
        if told.get("init_lora_weights", True) not in _BASE_IS_KEPT:
            raise ManifestError(f"{self._path.name} was begun by {told['init_lora_weights']}, which changes its base")
        if told:
            return LoraConfig(**told)
        ranks = {key.removesuffix(_UP): tensor.shape[1] for key, tensor in matrices.items() if key.endswith(_UP)}
        common = Counter(ranks.values()).most_common(1)[0][0]
        others = {f"^{module}": rank for module, rank in ranks.items() if rank != common}
        return LoraConfig(
            r=common, lora_alpha=common, rank_pattern=others, alpha_pattern=others, target_modules=list(ranks)
        )

    def _check(self, name: str, base: Any, matrices: Matrices) -> None:
        weights = {key.removesuffix(".weight"): tensor.shape for key, tensor in base.state_dict().items()}
        for key, tensor in matrices.items():
            module = key.removesuffix(_DOWN).removesuffix(_UP)
            if key == module:
                raise ManifestError(f"{self._path.name}: {name}.{key} is no part of a LoRA")
            if (shape := weights.get(module)) is None:
                raise ManifestError(f"{self._path.name} does not fit its base, whose {name} has no {module}")
            fits = tensor.shape[1:] == shape[1:] if key.endswith(_DOWN) else tensor.shape[0] == shape[0]
            if not fits:
                raise ManifestError(
                    f"{self._path.name} does not fit its base: {name}.{key} has the shape {list(tensor.shape)},"
                    f" and the base's weight {list(shape)}"
                )


def _fold_alphas(state: Matrices) -> Matrices:
    """Without kohya's alphas: each multiplies what its second matrix gives by alpha / rank."""
    alphas = {name.removesuffix(".alpha"): state.pop(name).item() for name in list(state) if name.endswith(".alpha")}
    for module, alpha in alphas.items():
        if (up := state.get(f"{module}.lora_up.weight")) is not None:
            state[f"{module}.lora_up.weight"] = up.float() * (alpha / up.shape[1])
    return state


def _as_peft_names(name: str, base: Any, matrices: Matrices) -> Matrices:
    if not any(_DOWN in key for key in matrices):
        convert = convert_unet_state_dict_to_peft if name == "unet" else _text_encoder_to_peft
        matrices = convert(matrices)
    if not hasattr(base, "text_model"):  # transformers' CLIPTextModel has lost this level
        matrices = {key.removeprefix("text_model."): tensor for key, tensor in matrices.items()}
    return matrices


def _text_encoder_to_peft(matrices: Matrices) -> Matrices:
    converted: Matrices = convert_state_dict_to_peft(convert_state_dict_to_diffusers(matrices))
    return converted
