"""The optional package `openvino`: whether it can be used here, and how it is imported."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from app.errors import SettingsError


def check_openvino(device: str) -> None:
    """Raises SettingsError where it is not installed, or the device is no CPU."""
    if find_spec("openvino") is None:
        raise SettingsError(
            "CARTRIDGE_RUNTIME='openvino': the package openvino is not installed; pip install \"cartridge[openvino]\""
        )
    if device == "auto":
        from app.backends.devices import pick_device

        device = pick_device(device).type
    if device != "cpu":
        raise SettingsError(
            f"CARTRIDGE_RUNTIME='openvino' computes on CPUs, and the device is {device!r}: set CARTRIDGE_DEVICE=cpu,"
            " or CARTRIDGE_RUNTIME=torch"
        )


def import_openvino() -> Any:
    """The package. It would tell its vendor of every import, which a service does not do without being asked."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino
