"""What is in the image, and what is not."""

from __future__ import annotations

import pytest

from deploy.local.container import ContainerError
from tests.support.containers import labels, run

OURS = ("/opt/cartridge", "/opt/venv", "/root", "/tmp")
UNCOMPILED = """
import os, pkgutil, sys
import app.main, app.bootstrap, app.backends as rooms
for module in pkgutil.iter_modules(rooms.__path__):
    if not module.name.startswith("openvino"):
        __import__(f"app.backends.{module.name}")
told = {name: vars(module).get("__cached__") for name, module in sys.modules.items()}
cached = {name: path for name, path in told.items() if isinstance(path, str)}
print(*(name for name, path in cached.items() if "/site-packages/" in path and not os.path.exists(path)))
"""


def test_labels_say_what_the_platform_asks_for(image: str) -> None:
    told = labels(image)
    assert told["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert told["com.amazonaws.sagemaker.capabilities.multi-models"] == "true"
    assert told["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("kind", ["*.safetensors", "*.ckpt", "test_service*", "Dockerfile", "*.whl"])
def test_no_weights_no_tests_no_leftovers(image: str, kind: str) -> None:
    assert run(image, *OURS, "-name", kind, entrypoint="find") == ""


@pytest.mark.parametrize("program", ["gcc", "cc", "make", "git"])
def test_no_compilers(image: str, program: str) -> None:
    with pytest.raises(ContainerError):
        run(image, "-c", f"command -v {program}", entrypoint="sh")


def test_what_the_service_imports_is_compiled(image: str) -> None:
    """Else every start on a read-only file system compiles it anew."""
    uncompiled = run(image, "-c", UNCOMPILED, entrypoint="python").split()
    assert len(uncompiled) < 30, uncompiled  # of the thousands


def test_it_is_the_command_too(image: str) -> None:
    assert "Many image-generation models behind one endpoint" in run(image, "--help")
