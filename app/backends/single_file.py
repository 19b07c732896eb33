"""Single-file checkpoints, each converted into a diffusers directory once; diffusers knows how the names correspond."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as diffusers_names
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from app.backends.checkpoint_configs import read_config, read_scheduler
from app.backends.tokenizer import make_clip_tokenizer
from app.errors import ManifestError
from app.logs import log_event
from app.roms.catalog import Rom
from app.roms.components import read_components
from app.roms.manifest import INDEX_NAME, TINY_DECODER, read_json
from app.roms.single_file import UNET_PREFIX, VAE_PREFIX, Checkpoint
from app.roms.weights import read_header

_FORMAT = 1  # of what lies in a folder; another one makes other keys
_PAD_TOKENS = {"sd1": ("<|endoftext|>",), "sd2": ("!",), "sdxl": ("<|endoftext|>", "!")}  # of each tokenizer
_TEXT_ENCODERS = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}
_OTHERS = {"UNet2DConditionModel": UNet2DConditionModel, "AutoencoderKL": AutoencoderKL}

Tensors = dict[str, torch.Tensor]


def as_directories(rom: Rom, cache: Path | None) -> Rom:
    """The ROM, and its base, with the directories that their single files are converted into, beneath `cache`.

    Raises ManifestError where a file does not hold what its configs say.
    """
    if rom.base is not None:
        return rom.over(as_directories(rom.base, cache))
    if rom.checkpoint is None:
        return rom
    if cache is None:
        raise ManifestError(f"{rom.checkpoint.path.name} needs a cache directory, to be converted into")
    try:
        folder = _folder_of(rom.checkpoint, cache)
        if not folder.is_dir():
            log_event("checkpoint_converting", rom=rom.id, folder=str(folder))
            _convert_into(folder, rom.checkpoint)
    except OSError as error:
        raise ManifestError(f"{rom.checkpoint.path.name} cannot be converted: {error}") from error
    return find_directories(rom, cache)


def find_directories(rom: Rom, cache: Path | None) -> Rom:
    """The same, of those that were converted before; the others are as they were."""
    if rom.base is not None:
        return rom.over(find_directories(rom.base, cache))
    if rom.checkpoint is None or cache is None or not rom.checkpoint.path.exists():  # it may be in its bucket yet
        return rom
    folder = _folder_of(rom.checkpoint, cache)
    if not folder.is_dir():
        return rom
    return replace(rom, directory=folder, components=read_components(folder, rom.manifest), checkpoint=None)


def _folder_of(checkpoint: Checkpoint, cache: Path) -> Path:
    """Named after all that it depends on: the file, by what it says of itself and its date, and what lies beside."""
    about = checkpoint.path.stat()
    parts: list[Any] = [_FORMAT, version("diffusers"), checkpoint.architecture.name, str(checkpoint.path)]
    parts += [about.st_size, about.st_mtime_ns, read_header(checkpoint.path).outline]
    beside = sorted(checkpoint.own.glob("*/*")) if checkpoint.own else []
    parts += [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in beside]
    return cache / "single_files" / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _convert_into(folder: Path, checkpoint: Checkpoint) -> None:
    """Whole or not at all; another process may do the same meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="converting-") as name:
        unfinished = Path(name) / "rom"
        _write(unfinished, checkpoint)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _write(directory: Path, checkpoint: Checkpoint) -> None:
    tensors = load_file(checkpoint.path)
    index = read_json(checkpoint.layout / INDEX_NAME)
    _write_json(directory / INDEX_NAME, index)
    for name, prefix in checkpoint.architecture.prefixes.items():
        config = read_config(checkpoint, name, tensors)
        _write_json(directory / name / "config.json", config)
        expected = _expected(index[name][1], config)
        own = {key: tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        converted = _convert(own, prefix, config, expected, checkpoint)
        weights = "model" if name.startswith("text_encoder") else "diffusion_pytorch_model"
        save_file(converted, directory / name / f"{weights}.safetensors", {"format": "pt"})
    _write_json(directory / "scheduler" / "scheduler_config.json", read_scheduler(checkpoint, tensors))
    for name, pad_token in zip(("tokenizer", "tokenizer_2"), _PAD_TOKENS[checkpoint.architecture.name], strict=False):
        if not _copy(checkpoint, name, directory):
            make_clip_tokenizer(pad_token).save_pretrained(directory / name)
    _copy(checkpoint, TINY_DECODER, directory)


def _convert(
    own: Tensors, prefix: str, config: dict[str, Any], expected: dict[str, torch.Size], checkpoint: Checkpoint
) -> Tensors:
    """A component's tensors under diffusers' names. Raises ManifestError where they are not those of its config."""
    name = checkpoint.path.name
    try:
        if prefix == UNET_PREFIX:
            converted = diffusers_names.convert_ldm_unet_checkpoint(own, config)
        elif prefix == VAE_PREFIX:
            converted = diffusers_names.convert_ldm_vae_checkpoint(own, config)
        elif prefix.endswith("model."):
            converted = diffusers_names.convert_open_clip_checkpoint(_with_config(config), own, prefix)
        else:
            converted = diffusers_names.convert_ldm_clip_checkpoint(own)
    except KeyError as error:
        raise ManifestError(f"{name} has no {error}, as its configs say that it has") from error
    if not any(key.startswith("text_model.") for key in expected):  # transformers' CLIPTextModel has lost this level
        converted = {key.removeprefix("text_model."): tensor for key, tensor in converted.items()}
    for key, shape in expected.items():
        if (tensor := converted.get(key)) is None:
            raise ManifestError(f"{name} lacks {prefix}: {key}, as its configs say that it has")
        if tensor.shape != shape:
            raise ManifestError(f"{name}: {prefix} {key} is {list(tensor.shape)}, its configs say {list(shape)}")
    if prefix == UNET_PREFIX and (more := sorted(converted.keys() - expected.keys())):
        raise ManifestError(f"{name} has {prefix} {more[0]}, which its configs do not know")
    return {key: converted[key].contiguous() for key in expected}


def _expected(class_name: str, config: dict[str, Any]) -> dict[str, torch.Size]:
    """Names and shapes of a model's weights."""
    with torch.device("meta"):
        if class_name in _TEXT_ENCODERS:
            model: Any = _TEXT_ENCODERS[class_name](_with_config(config).config)
        else:
            model = _OTHERS[class_name].from_config(config)
    return {key: tensor.shape for key, tensor in model.state_dict().items()}


def _with_config(config: dict[str, Any]) -> Any:
    """As much of a text encoder as diffusers asks for."""
    return SimpleNamespace(config=CLIPTextConfig(**config))


def _copy(checkpoint: Checkpoint, name: str, directory: Path) -> bool:
    """A folder that lies beside the file; whether it does."""
    if checkpoint.own is None or not (checkpoint.own / name).is_dir():
        return False
    shutil.copytree(checkpoint.own / name, directory / name)
    return True


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
