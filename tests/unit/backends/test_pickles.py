"""Pickled weights become safetensors, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from app.backends.pickles import convert_pickle
from app.errors import ManifestError


class Bomb:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_tensors_keep_their_names_and_values(tmp_path: Path, wrapped: bool, zipped: bool) -> None:
    weight = torch.randn(3, 4, dtype=torch.float16)
    tensors = {"a.weight": weight, "a.turned": weight.T, "b.weight": weight[1:]}  # in one storage
    content = {"state_dict": tensors, "global_step": 7, "epoch": 1} if wrapped else tensors | {"epoch": 1}
    torch.save(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=zipped)
    assert convert_pickle(tmp_path / "model.ckpt", tmp_path / "model.safetensors") == 3
    read = load_file(tmp_path / "model.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[name]) and tensor.dtype == weight.dtype for name, tensor in read.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.ckpt", "model.safetensors"]


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_pickle_that_holds_more_than_data_is_refused_and_not_run(tmp_path: Path, save: Any) -> None:
    save({"bomb": Bomb(tmp_path / "ran"), "weight": torch.zeros(3)}, tmp_path / "model.ckpt")
    with pytest.raises(ManifestError, match=r"model\.ckpt is refused: it names \w+\.mkdir"):
        convert_pickle(tmp_path / "model.ckpt", tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.ckpt"]


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"PK\x03\x04" + b"\0" * 64, b"no pickle at all"])
def test_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(ManifestError, match=r"model\.ckpt .*(damaged|refused)"):
        convert_pickle(tmp_path / "model.ckpt", tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [torch.zeros(3), {"epoch": 1}, [torch.zeros(3)]])
def test_pickle_without_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.ckpt")
    with pytest.raises(ManifestError, match="holds no tensors by name"):
        convert_pickle(tmp_path / "model.ckpt", tmp_path / "model.safetensors")


def test_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.ckpt")
    (tmp_path / "model.safetensors").write_text("mine", encoding="utf-8")
    with pytest.raises(ManifestError, match="exists already"):
        convert_pickle(tmp_path / "model.ckpt", tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(("source", "target"), [("none.ckpt", "a.st"), ("model.ckpt", "nowhere/a.st")])
def test_place_that_is_not_there_is_named(tmp_path: Path, source: str, target: str) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.ckpt")
    with pytest.raises(ManifestError, match=rf"({source}|{target}) cannot be (read|written)"):
        convert_pickle(tmp_path / source, tmp_path / target)
