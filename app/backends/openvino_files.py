"""U-Nets as OpenVINO reads them, each converted once and kept in a folder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from app.logs import log_event
from app.roms.catalog import Rom
from app.roms.weights import find_weights, sha256_of

MODEL, ABOUT = "unet.xml", "about.json"  # the latter: what is told of it
_FORMAT = 1  # of what lies in a folder; another one makes other keys
_PROGRAM = "app.backends.openvino_conversion"


def convert_once(rom: Rom, class_name: str, dtype: torch.dtype, cache: Path) -> Path:
    """The folder of a ROM's U-Net in `cache`. Raises RuntimeError where it cannot be converted.

    Another process converts: the U-Net in torch never is in this one's memory, nor are torch's functions patched here.
    """
    folder = folder_of(rom, class_name, dtype, cache)
    if not folder.is_dir():
        log_event("unet_converting", rom=rom.id, folder=str(folder))
        source = rom.model_directory / "unet"
        told = (class_name, str(source), find_weights(source).variant or "", str(folder), _name(dtype))
        program = [sys.executable, "-m", _PROGRAM, *told]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode or not folder.is_dir():
            last = (ended.stderr.strip() or f"the conversion ended with status {ended.returncode}").splitlines()[-1]
            raise RuntimeError(f"the U-Net cannot be converted for OpenVINO: {last}")
    return folder


def folder_of(rom: Rom, class_name: str, dtype: torch.dtype, cache: Path) -> Path:
    """Named after all that the converted U-Net depends on. The manifest's digests were verified before."""
    listed = {rom.directory / file.path: file.sha256 for file in rom.manifest.files}
    unet = rom.model_directory / "unet"
    files = [unet / "config.json", *(unet / name for name in find_weights(unet).files)]
    parts = [_FORMAT, class_name, _name(dtype), version("openvino"), version("diffusers")]
    parts += [(str(path.relative_to(unet)), listed.get(path) or sha256_of(path)) for path in files]
    return cache / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
