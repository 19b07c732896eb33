"""LoRAs: the difference to a base ROM, as matrices of low rank (Hu et al. 2021)."""

from __future__ import annotations

from pathlib import Path

from app.errors import ManifestError
from app.roms.components import Component, describe
from app.roms.manifest import RomManifest, of_family
from app.roms.weights import find_only_file, read_header, read_tensors

LORA = "lora"  # the component's name
FAMILIES = ("stable_diffusion", "stable_diffusion_xl")
_INHERITED = ("presets", "limits", "prompt_template", "negative_prompt")  # where the LoRA says nothing
_PAIRS = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "_lora.down.weight", "lora_linear_layer.down.weight")
_OTHER_KINDS = {
    "hada_": "a LoHa",
    "lokr_": "a LoKr",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "oft_": "an OFT",
    "lora_mid": "a LoRA with a tensor between its two matrices (CP decomposition)",
}


def read_lora(directory: Path, manifest: RomManifest) -> Component:
    """The one file of a LoRA ROM, by its header. Raises ManifestError where it is no LoRA that can be laid over."""
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
    digests = {file.path: file.sha256 for file in manifest.files}
    return describe(LORA, "LoRA", {"lora_scale": manifest.lora_scale}, {path.name: header}, digests)


def inherit(manifest: RomManifest, base: RomManifest) -> RomManifest:
    """A LoRA's manifest, with the base's word where it says nothing. Raises ManifestError where they disagree."""
    if base.base is not None:
        raise ManifestError(f"its base {base.id!r} is itself a LoRA; name the base of that one: {base.base!r}")
    if base.family not in FAMILIES:
        raise ManifestError(f"its base {base.id!r} is of the family {base.family!r}, which takes no LoRA")
    taken = {name: getattr(base, name) for name in _INHERITED if name not in manifest.model_fields_set}
    return of_family(manifest, base.family, f"its base {base.id!r}").model_copy(update=taken)
