"""ROMs that others use: a model whose config and weights lie in the ROM's own directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import ManifestError
from app.roms.catalog import read_rom
from tests.support.headers import write_safetensors
from tests.support.roms import write_manifest


def test_its_weights_are_read_where_they_lie(tmp_path: Path) -> None:
    rom = read_rom(write_clip(tmp_path / "clip"))
    assert (rom.id, rom.is_instrument, rom.makes_images) == ("clip", True, False)
    (component,) = rom.components
    assert (component.class_name, component.files, component.num_parameters) == ("CLIPModel", ("model.safetensors",), 6)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    (write_clip(tmp_path / "clip") / name).unlink()
    with pytest.raises(ManifestError, match=r"config|weights"):
        read_rom(tmp_path / "clip")


def write_clip(directory: Path) -> Path:
    write_manifest(directory, id="clip", family="clip")
    (directory / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"]}))
    write_safetensors(directory / "model.safetensors", {"logit_scale": (2, 3)})
    return directory
