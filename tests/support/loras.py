"""LoRAs of tiny ROMs: random matrices, in the names that trainers give them."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

Naming = Literal["kohya", "kohya of SDXL", "peft", "diffusers of old"]
_CLASSES: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
ATTENTION = r"\.(to_q|to_k|to_v|to_out\.0|q_proj|k_proj|v_proj|out_proj)$"
LINEAR = rf"{ATTENTION}|\.(ff\.net\.0\.proj|ff\.net\.2|fc1|fc2|time_emb_proj)$"
EVERYTHING = rf"{LINEAR}|\.(conv1|conv2|conv_shortcut|conv|proj_in|proj_out)$"
_OLD_PROJECTIONS = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


@dataclass(frozen=True)
class TinyLora:
    naming: Naming = "peft"
    models: tuple[str, ...] = ("unet", "text_encoder")
    modules: str = LINEAR  # a pattern of their names
    ranks: tuple[int, ...] = (4,)  # of the modules in turn
    alphas: tuple[float, ...] = (2.0,)  # of kohya's, in turn
    peft_config: dict[str, Any] | None = None  # of the U-Net, as diffusers writes it into the file's header
    strength: float = 0.4  # of the random matrices
    seed: int = 0


def write_lora_rom(directory: Path, base: Path, lora: TinyLora | None = None, **fields: Any) -> Path:
    """A ROM of the directory's name over the ROM of the base directory's name. Returns `directory`."""
    directory.mkdir(parents=True)
    content = {"id": directory.name, "base": base.name} | fields
    (directory / "rom.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    lora = lora or TinyLora()
    told = {f"unet.{name}": value for name, value in (lora.peft_config or {}).items()}
    metadata = {"format": "pt"} | ({"lora_adapter_metadata": json.dumps(told)} if told else {})
    save_file(make_lora(base, lora), directory / "lora.safetensors", metadata)
    return directory


def make_lora(base: Path, lora: TinyLora) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(lora.seed)
    ranks, alphas = itertools.cycle(lora.ranks), itertools.cycle(lora.alphas)
    tensors: dict[str, torch.Tensor] = {}
    for model, module, weight in _weights(base, lora):
        rank, alpha = next(ranks), torch.tensor(next(alphas))
        scale = lora.strength * rank**-0.5
        down = scale * torch.randn(rank, *weight.shape[1:], generator=generator) / weight[0].numel() ** 0.5
        up = scale * torch.randn(weight.shape[0], rank, *[1] * (weight.ndim - 2), generator=generator)
        first, second, its_alpha = _names(lora.naming, model, module)
        tensors |= {first: down, second: up} | ({its_alpha: alpha} if its_alpha else {})
    return tensors


def merged(base: Path, lora: TinyLora, name: str) -> Any:
    """A model of the base with the differences added to its weights; of kohya's naming."""
    model = _CLASSES[name].from_pretrained(base / name, local_files_only=True)
    tensors = make_lora(base, lora)
    for model_name, module, weight in _weights(base, lora):
        if model_name == name:
            down, up, alpha = (tensors[key] for key in _names(lora.naming, name, module))
            scale = float(alpha) / len(down)
            difference = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape) * scale
            model.get_submodule(_in_class(model, module)).weight.data.add_(difference)
    return model.eval()


def _weights(base: Path, lora: TinyLora) -> list[tuple[str, str, torch.Tensor]]:
    """Model, name of the module as trainers know it, weight."""
    found = []
    for name in lora.models:
        model = _CLASSES[name].from_pretrained(base / name, local_files_only=True)
        for module, layer in model.named_modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and re.search(lora.modules, f".{module}"):
                known = module if name == "unet" or module.startswith("text_model.") else f"text_model.{module}"
                found.append((name, known, layer.weight.detach()))
    assert found, f"no module is called {lora.modules}"
    return found


def _in_class(model: Any, module: str) -> str:
    return module if hasattr(model, "text_model") else module.removeprefix("text_model.")


def _names(naming: Naming, model: str, module: str) -> tuple[str, str, str]:
    """Of the first matrix, the second, and the alpha; the last is empty where it is not told."""
    if naming == "peft":
        return f"{model}.{module}.lora_A.weight", f"{model}.{module}.lora_B.weight", ""
    if naming == "diffusers of old":
        path, _, projection = module.removesuffix(".0").rpartition(".")
        layer = f"{path}.processor" if model == "unet" else path
        stem = f"{model}.{layer}.{_OLD_PROJECTIONS.get(projection, projection)}_lora"
        return f"{stem}.down.weight", f"{stem}.up.weight", ""
    is_xl = naming == "kohya of SDXL"
    prefix = {"unet": "lora_unet", "text_encoder": "lora_te1" if is_xl else "lora_te", "text_encoder_2": "lora_te2"}
    stem = f"{prefix[model]}_{(_as_sgm(module) if is_xl else module).replace('.', '_')}"
    return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", f"{stem}.alpha"


def _as_sgm(module: str) -> str:
    """An attention of the tiny SDXL, whose blocks have two layers, as its first code called it."""
    module = re.sub(r"^down_blocks\.1\.attentions\.(\d)", lambda m: f"input_blocks.{4 + int(m[1])}.1", module)
    module = re.sub(r"^mid_block\.attentions\.0", "middle_block.1", module)
    return re.sub(r"^up_blocks\.0\.attentions\.(\d)", r"output_blocks.\1.1", module)
