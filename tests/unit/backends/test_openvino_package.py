"""OpenVINO is optional: without it, or on a GPU, a setting that asks for it stops the start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.backends.openvino_package import check_openvino
from app.backends.options import LoadOptions
from app.bootstrap import running
from app.errors import SettingsError
from app.settings import Settings


def start(store: Path, device: str) -> None:
    settings = Settings(rom_sources=(f"file://{store}",), preload="none", runtime="openvino", device=device)
    with running(settings):
        pass


def test_installed_and_on_a_cpu_the_service_starts(tmp_path: Path) -> None:
    start(tmp_path, "cpu")


def test_without_the_package_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SettingsError, match=r"CARTRIDGE_RUNTIME.*cartridge\[openvino\]"):
        start(tmp_path, "cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_on_a_gpu_the_start_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(SettingsError, match=f"CARTRIDGE_RUNTIME.*'{device}'.*CARTRIDGE_DEVICE=cpu"):
        start(tmp_path, device)


def test_another_runtime_does_not_ask_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with running(Settings(rom_sources=(f"file://{tmp_path}",), preload="none")):
        pass


def test_auto_is_the_device_that_there_is() -> None:
    import torch

    if torch.cuda.is_available():
        with pytest.raises(SettingsError, match="cuda"):
            check_openvino("auto")
    else:
        check_openvino("auto")


def test_runtime_needs_a_place_for_what_it_makes() -> None:
    with pytest.raises(ValueError, match="cache_dir"):
        LoadOptions(runtime="openvino")
