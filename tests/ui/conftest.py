"""A page as `cartridge ui` starts it, of a real service with ROMs of two domains."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.running import free_port, wait_until
from tests.service.test_command_line import CARTRIDGE
from tests.service.test_routing import DOMAINS
from tests.support.roms import write_manifest
from tests.support.serving import PATIENCE_S, Serving, serving

INJECTION = "<img src=x onerror=\"document.title='injected'\">"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """`painter`, `manga`, and `endless`, which has no domain and takes requests long enough to be left.

    What `manga` calls itself and its rule is HTML.
    """
    store = tmp_path_factory.mktemp("store")
    (rule,) = DOMAINS["manga"]["rules"]
    domains = DOMAINS | {"manga": DOMAINS["manga"] | {"rules": [rule | {"name": f"booru tags {INJECTION}"}]}}
    for rom_id, domain in domains.items():
        write_manifest(store / rom_id, domain=domain, title=f"{rom_id} {INJECTION}", limits={"max_pixels": 128 * 128})
    write_manifest(
        store / "endless",
        presets={"default": {"num_inference_steps": 1000, "guidance_scale": 1.0, "partial_share": 0.001}},
        limits={"max_steps": 1000, "max_batch": 64},
    )
    environment = {"CARTRIDGE_ROM_SOURCES": f"file://{store}", "CARTRIDGE_READY": "all"}
    with serving(tmp_path_factory.mktemp("service"), **environment, CARTRIDGE_DEFAULT_ROM="painter") as started:
        yield started.until_ready()


@pytest.fixture(scope="session")
def page(service: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page of `service`."""
    with opened_page(service.local.url, tmp_path_factory.mktemp("page")) as address:
        yield address


@contextmanager
def one_cancelled(service: Serving) -> Iterator[None]:
    """What happens inside cancels one request of the service, as its log tells."""

    def cancelled() -> int:
        return sum(line["status"] == 499 for line in service.events("request"))

    before = cancelled()
    yield
    wait_until(lambda: cancelled() > before, PATIENCE_S)
    service.until_depth(0)


@contextmanager
def opened_page(url: str, directory: Path) -> Iterator[str]:
    """The page of the service at `url`; it must end in peace, and leave nothing behind."""
    kept = directory / "kept"
    kept.mkdir()
    address = f"http://127.0.0.1:{(port := free_port())}"
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [str(CARTRIDGE), "ui", "--url", url, "--port", str(port)],
            env=os.environ | {"TMPDIR": str(kept)},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(address), PATIENCE_S)
        assert process.poll() is None, (directory / "output").read_text(encoding="utf-8")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE_S)
    said = (directory / "output").read_text(encoding="utf-8")
    assert (status, said) == (0, f"the page of {url} is on {address}/ until Ctrl-C\n")
    assert not list(kept.glob("cartridge-ui-*"))


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
