"""Whole models in one safetensors file, with the tensors named as Stable Diffusion's first code names them.

Which model it is, the names tell. Its configs lie beside it, in the folders that diffusers would have, or are those of
the published models (`layouts`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import ManifestError
from app.roms.components import Component, describe
from app.roms.manifest import TINY_DECODER, read_json
from app.roms.weights import WeightsHeader, find_only_file, find_weights, read_header, read_tensors

SUFFIXES = (".safetensors", ".ckpt", ".pt")  # of files that may be a ROM by themselves; the content decides
_LAYOUTS = Path(__file__).parent / "layouts"
UNET_PREFIX, VAE_PREFIX = "model.diffusion_model.", "first_stage_model."
_NOT_LOADED = re.compile(r"\.(position_ids|logit_scale)$")
_LAYER = re.compile(r"\.resblocks\.(\d+)\.")


@dataclass(frozen=True)
class Architecture:
    """A published model that others share the shape of."""

    name: str  # of its folder in `layouts`
    family: str
    prefixes: Mapping[str, str]  # of the names of its tensors, by the component


_IMAGE = {"unet": UNET_PREFIX, "vae": VAE_PREFIX}
ARCHITECTURES = (
    Architecture("sd1", "stable_diffusion", _IMAGE | {"text_encoder": "cond_stage_model.transformer."}),
    Architecture("sd2", "stable_diffusion", _IMAGE | {"text_encoder": "cond_stage_model.model."}),
    Architecture(
        "sdxl",
        "stable_diffusion_xl",
        _IMAGE
        | {"text_encoder": "conditioner.embedders.0.transformer.", "text_encoder_2": "conditioner.embedders.1.model."},
    ),
)


@dataclass(frozen=True)
class Checkpoint:
    """Such a file. Not loaded as it is: it is converted into a diffusers directory first."""

    path: Path
    architecture: Architecture
    own: Path | None  # the ROM's directory; None for a file that is a ROM by itself

    @property
    def has_configs(self) -> bool:
        """Whether they lie beside it; all of them, then."""
        return self.own is not None and (self.own / "unet" / "config.json").exists()

    @property
    def configs(self) -> Path:
        """A directory of the components' configs."""
        return self.own if self.own and self.has_configs else self.layout

    @property
    def layout(self) -> Path:
        return _LAYOUTS / self.architecture.name


def find_checkpoint(directory: Path) -> Checkpoint | None:
    """The one in a ROM's directory that is no diffusers directory; None where there are no weights at all."""
    path = find_only_file(directory)
    return None if path is None else open_checkpoint(path, directory)


def open_checkpoint(path: Path, own: Path | None = None) -> Checkpoint:
    """Raises ManifestError where the file is no whole model, saying what it lacks."""
    names = list(read_tensors(path))
    present = {prefix for one in ARCHITECTURES for prefix in one.prefixes.values() if _has(names, prefix)}
    for architecture in ARCHITECTURES:
        if present >= set(architecture.prefixes.values()):
            return Checkpoint(path, architecture, own)
    if any("lora" in name for name in names):
        raise ManifestError(f"{path.name} is a LoRA: it needs a directory with a rom.yaml that names its base")
    if UNET_PREFIX in present:
        missing = "autoencoder" if VAE_PREFIX not in present else "text encoders of Stable Diffusion 1, 2 or XL (base)"
        raise ManifestError(f"{path.name} is a U-Net without the {missing}; a single file is a whole model")
    first = next(iter(names), "none")
    raise ManifestError(f"{path.name} is no single-file checkpoint of Stable Diffusion; its first tensor: {first}")


def read_checkpoint_components(checkpoint: Checkpoint) -> tuple[Component, ...]:
    """What will be loaded of it, and the tiny decoder where the ROM has one."""
    path, configs = checkpoint.path, checkpoint.configs
    shapes, outline = read_tensors(path), read_header(path).outline
    classes = read_json(checkpoint.layout / "model_index.json")
    found = []
    for name, prefix in checkpoint.architecture.prefixes.items():
        config = read_json(configs / name / "config.json")
        loaded = {key: shape for key, shape in shapes.items() if key.startswith(prefix) and _is_loaded(key, config)}
        header = WeightsHeader(sum(map(math.prod, loaded.values())), _digest(outline, prefix))
        found.append(describe(name, classes[name][1], config, {path.name: header}, {}))
    if checkpoint.own and (checkpoint.own / TINY_DECODER).is_dir():
        folder = checkpoint.own / TINY_DECODER
        headers = {f"{TINY_DECODER}/{file}": read_header(folder / file) for file in find_weights(folder).files}
        found.append(describe(TINY_DECODER, "AutoencoderTiny", read_json(folder / "config.json"), headers, {}))
    return tuple(found)


def _has(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _is_loaded(name: str, config: Mapping[str, object]) -> bool:
    """Stable Diffusion 2 reads its text encoder before the last layers, and projects nothing."""
    layer, layers = _LAYER.search(name), config.get("num_hidden_layers")
    if layer and isinstance(layers, int) and int(layer[1]) >= layers:
        return False
    return not _NOT_LOADED.search(name) and name != "cond_stage_model.model.text_projection"


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
