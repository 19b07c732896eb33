"""Rows of tensors in a file, each under a key: a digest of everything that the row depends on.

Rows whose keys are those of today are taken from the file, all others are computed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

KEY_BYTES = 16
_KEYS = ".keys"  # what the tensor of a kind's keys is called, after the kind; uint8 [N, KEY_BYTES]
_BATCH = 32

Compute = Callable[[list[int]], torch.Tensor]  # rows to what there is of them, [N, ...]


class RowStore:
    """Rows of a file by their keys. Left by an error, it keeps what it has, without names."""

    def __init__(self, path: Path) -> None:
        self.computed = 0
        self._path = path
        self._names: list[str] = []
        self._kinds: dict[str, tuple[list[str], torch.Tensor]] = {}  # keys and rows
        if path.exists():
            with safe_open(path, framework="pt") as file:
                self._names = json.loads(file.metadata()["names"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            kinds = [name for name in tensors if not name.endswith(_KEYS)]
            self._kinds = {
                name: ([bytes(key.tolist()).hex() for key in tensors[name + _KEYS]], tensors[name]) for name in kinds
            }
        self._listed = {name: keys for name, (keys, _) in self._kinds.items()}

    def __enter__(self) -> RowStore:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and self.computed:
            self._write(())

    def complete(self, name: str, keys: Sequence[str], compute: Compute) -> torch.Tensor:
        """A row a key, [N, ...]."""
        wanted, parts, found = set(keys), [], []
        if name in self._kinds:
            known, rows = self._kinds[name]
            places = [place for place, key in enumerate(known) if key in wanted]
            parts, found = [rows[places]] if places else [], [known[place] for place in places]
        have = set(found)
        missing = [row for row, key in enumerate(keys) if key not in have]
        starts = tqdm(range(0, len(missing), _BATCH), desc=name, unit="batch", disable=not missing)
        try:
            for start in starts:
                batch = missing[start : start + _BATCH]
                parts.append(compute(batch))
                found += [keys[row] for row in batch]
                self.computed += len(batch)
        finally:
            if parts:
                self._kinds[name] = found, torch.cat(parts)
        place_of = {key: place for place, key in enumerate(found)}
        return self._kinds[name][1][[place_of[key] for key in keys]]

    def keep(self, kinds: dict[str, tuple[list[str], torch.Tensor]], names: Sequence[str]) -> None:
        """Write these and no others, where the file has not just these."""
        self._kinds = kinds
        if (list(names), {name: keys for name, (keys, _) in kinds.items()}) != (self._names, self._listed):
            self._write(names)

    def _write(self, names: Sequence[str]) -> None:
        """The file whole or not at all."""
        tensors = {name: rows.contiguous() for name, (_, rows) in self._kinds.items()}
        for name, (keys, _) in self._kinds.items():
            tensors[name + _KEYS] = torch.tensor([list(bytes.fromhex(key)) for key in keys], dtype=torch.uint8)
        partial = self._path.with_suffix(".tmp")
        save_file(tensors, partial, {"names": json.dumps(list(names))})
        partial.replace(self._path)
