"""The image under test: `make test-container` has built it, or CARTRIDGE_TEST_IMAGE names another."""

from __future__ import annotations

import os
import shutil

import pytest

from deploy.local.container import ContainerError, docker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/container" in item.path.as_posix():
            item.add_marker(pytest.mark.container)


@pytest.fixture(scope="session")
def image() -> str:
    name = os.environ.get("CARTRIDGE_TEST_IMAGE", "cartridge")
    if shutil.which("docker") is None:
        pytest.fail("these tests need a docker engine")
    try:
        docker("image", "inspect", name)
    except ContainerError as error:
        pytest.fail(f"build the image first (make image): {error}")
    return name
