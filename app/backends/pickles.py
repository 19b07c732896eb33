"""Pickled weights, made safetensors without running what is in them."""

from __future__ import annotations

import pickle
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from app.errors import ManifestError

_UNREADABLE = (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError)


def convert_pickle(source: Path, target: Path) -> int:
    """Write the tensors of `source` to `target`, whole or not at all. Returns how many they are.

    What a training keeps beside the tensors is left behind. Raises ManifestError for a file that holds more than data.
    """
    if target.exists():
        raise ManifestError(f"{target} exists already")
    content = _read(source)
    content = content["state_dict"] if isinstance(content.get("state_dict"), dict) else content
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise ManifestError(f"{source.name} holds no tensors by name")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="converting-") as folder:
            unfinished = Path(folder) / target.name
            save_file(_apart(tensors), unfinished, {"format": "pt"})
            unfinished.replace(target)
    except OSError as error:
        raise ManifestError(f"{target} cannot be written: {error.strerror or error}") from error
    return len(tensors)


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each in a storage of its own, as safetensors wants them."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.detach().clone() if storage in seen else tensor.detach()
        seen.add(storage)
    return {name: tensor.contiguous() for name, tensor in apart.items()}


def _read(source: Path) -> dict[Any, Any]:
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it names {found[1]}" if found else "it is damaged, or no pickle of torch"
        raise ManifestError(f"{source.name} is refused: {what}; only tensors and plain data are read") from error
    except OSError as error:
        raise ManifestError(f"{source} cannot be read: {error.strerror or error}") from error
    except _UNREADABLE as error:
        raise ManifestError(f"{source.name} is damaged, or no pickle of torch") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{source.name} holds no tensors by name")
    return content
