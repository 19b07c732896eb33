"""LoRAs: the difference to a base ROM, as matrices of low rank (Hu et al. 2021)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from app.errors import ManifestError
from app.roms.components import Component, describe
from app.roms.manifest import RomManifest, of_family
from app.roms.weights import find_only_file, read_header, read_tensors

FAMILIES = ("stable_diffusion", "stable_diffusion_xl")
_INHERITED = ("presets", "limits", "prompt_template", "negative_prompt")  # where the LoRA says nothing
_PAIRS = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "_lora.down.weight", "lora_linear_layer.down.weight")
_PREFIXES: dict[str, tuple[str, ...]] = {  # of the tensors' names
    "unet": ("lora_unet_", "unet."),
    "text_encoder": ("lora_te_", "lora_te1_", "text_encoder."),
    "text_encoder_2": ("lora_te2_", "text_encoder_2."),
}
_OTHER_KINDS = {
    "hada_": "a LoHa",
    "lokr_": "a LoKr",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "oft_": "an OFT",
    "lora_mid": "a LoRA with a tensor between its two matrices (CP decomposition)",
}


def read_lora(directory: Path, manifest: RomManifest) -> tuple[Component, ...]:
    """What the one file of a LoRA ROM adds to each model, by its header.

    Raises ManifestError where it is no LoRA that can be laid over.
    """
    path = find_only_file(directory)
    if path is None:
        raise ManifestError("has a base and no LoRA beside its manifest (a .safetensors file)")
    header, names = read_header(path), read_tensors(path)
    for sign, kind in _OTHER_KINDS.items():
        if any(sign in name for name in names):
            raise ManifestError(f"{path.name} is {kind}, which is not supported; LoRA is")
    if not any(name.endswith(_PAIRS) for name in names):
        first = next(iter(names), "none")
        raise ManifestError(f"{path.name} is no LoRA as kohya, diffusers or peft name its tensors; its first: {first}")
    shapes = read_tensors(path)
    counts = {model: sum(math.prod(shapes[name]) for name in shapes if _is_of(name, model)) for model in _PREFIXES}
    return tuple(
        describe(
            lora_component(model),
            "LoRA",
            {"model": model, "lora_scale": manifest.lora_scale},
            {path.name: replace(header, num_parameters=count)},
            {file.path: file.sha256 for file in manifest.files},
        )
        for model, count in counts.items()
        if count
    )


def lora_component(model: str) -> str:
    """The name of what a LoRA adds to a model."""
    return f"{model} lora"


def model_of(component: str) -> str:
    """`lora_component` the other way round."""
    return component.removesuffix(" lora")


def _is_of(name: str, model: str) -> bool:
    return name.startswith(_PREFIXES[model]) and not name.endswith(".alpha")  # alphas are no weights in memory


def inherit(manifest: RomManifest, base: RomManifest) -> RomManifest:
    """A LoRA's manifest, with the base's word where it says nothing. Raises ManifestError where they disagree."""
    if base.base is not None:
        raise ManifestError(f"its base {base.id!r} is itself a LoRA; name the base of that one: {base.base!r}")
    if base.family not in FAMILIES:
        raise ManifestError(f"its base {base.id!r} is of the family {base.family!r}, which takes no LoRA")
    taken = {name: getattr(base, name) for name in _INHERITED if name not in manifest.model_fields_set}
    return of_family(manifest, base.family, f"its base {base.id!r}").model_copy(update=taken)
