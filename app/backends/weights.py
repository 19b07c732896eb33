"""A model's weights from their files to where they compute: mapped, not read, and changed one tensor at a time.

Where precision, layout and device are those of the file, a tensor stays a view of the file's pages: nothing is copied.
The map is private: what wrote to a tensor would not reach the file.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from app.errors import ManifestError
from app.roms.weights import find_weights

_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMED = 3  # tensors that an error names
_FORGIVEN = "position_ids"  # a buffer that files of old have, and libraries make anew
_MAPS = Path("/proc/self/maps")


@dataclass(frozen=True)
class Placement:
    """How a model's weights lie in memory."""

    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format = torch.contiguous_format  # of convolutions

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor so; itself where it is so already."""
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        layout = self.memory_format if tensor.dim() == 4 else torch.preserve_format
        return tensor.to(self.device, dtype, memory_format=layout)


def load_model(cls: Any, folder: Path, placement: Placement) -> Any:
    """A model of diffusers or transformers from its folder. Raises ManifestError where tensors lack or are too many."""
    weights = find_weights(folder)
    files = [folder / name for name in weights.files]
    stored = list(count_floats(files))
    model, told = cls.from_pretrained(
        folder,
        dtype=stored[0] if len(stored) == 1 else placement.dtype,  # in the file's own precision nothing is copied
        variant=weights.variant,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    _check_names(folder.name, told)
    model.eval().requires_grad_(False)
    _place(model, placement, _Pages.of(files))
    return model


def count_floats(files: Iterable[Path]) -> Counter[torch.dtype]:
    """How many values the files hold in each precision, from their headers; integers are positions, no weights."""
    counts: Counter[torch.dtype] = Counter()
    for path in files:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                entry = file.get_slice(name)
                if entry.get_dtype() in _FLOATS:
                    counts[_FLOATS[entry.get_dtype()]] += torch.Size(entry.get_shape()).numel()
    return counts


def _check_names(component: str, told: dict[str, Any]) -> None:
    unexpected = {name for name in told["unexpected_keys"] if not name.endswith(_FORGIVEN)}
    for names, what in ((set(told["missing_keys"]), "lack"), (unexpected, "have more than its config asks for:")):
        if names:
            shown = ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            raise ManifestError(f"the weights of component {component!r} {what} {shown}")


def _place(model: Any, placement: Placement, pages: _Pages) -> None:
    """One tensor at a time, so that what was read of the file is let go before the next."""
    for tensor in (*model.parameters(), *model.buffers()):
        stored = tensor.data
        tensor.data = placement.of(stored)
        if tensor.data_ptr() != stored.data_ptr():
            pages.let_go(stored)


@dataclass(frozen=True)
class _Pages:
    """Where files are mapped in this process."""

    ranges: Sequence[tuple[int, int]]  # addresses

    @classmethod
    def of(cls, files: Iterable[Path]) -> _Pages:
        if sys.platform != "linux":
            return cls(())
        names = {str(path.resolve()) for path in files}
        lines = (line.split(maxsplit=5) for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines())
        addresses = (line[0].split("-") for line in lines if line[5:] and line[5] in names)
        return cls([(int(start, 16), int(end, 16)) for start, end in addresses])

    def let_go(self, tensor: torch.Tensor) -> None:
        """The pages that a tensor alone lies in, where they are of a file: reading them again would bring them back."""
        start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end and any(first <= start and end <= last for first, last in self.ranges):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
