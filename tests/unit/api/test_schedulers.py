"""A ROM whose files and presets name schedulers of diffusers, as a caller of the API sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.api.app import create_app
from app.bootstrap import running
from app.core import SCHEDULERS
from app.invoker.service import Service
from app.settings import Settings
from deploy.running import wait_until
from tests.support.loader import PATIENCE_S
from tests.support.tiny_rom import STABLE_DIFFUSION_SCHEDULE, TinyRom, build_tiny_rom

PRESETS: dict[str, Any] = {
    "default": {"num_inference_steps": 3},
    "fine": {"num_inference_steps": 4, "scheduler": "DEISMultistepScheduler"},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    config = STABLE_DIFFUSION_SCHEDULE | {"skip_prk_steps": True}
    options = TinyRom(scheduler_class="PNDMScheduler", scheduler_config=config)
    directory: Path = build_tiny_rom(tmp_path_factory.mktemp("store") / "sd15", options)
    manifest = {"id": "sd15", "family": "stable_diffusion", "presets": PRESETS}
    (directory / "rom.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    with running(Settings(rom_sources=(f"file://{directory}",))) as service:
        wait_until(lambda: ask(service, "GET", "/ping").status_code == 200, PATIENCE_S)
        yield service


def ask(service: Service, method: str, path: str, **fields: Any) -> httpx.Response:
    async def answer() -> httpx.Response:
        app = create_app(lambda: nullcontext(service))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cartridge", timeout=60) as client,
        ):
            return await client.request(method, path, json=fields or None)

    return asyncio.run(answer())


@pytest.mark.parametrize(
    ("asked", "scheduler", "steps"),
    [
        ({}, "PNDMScheduler", 4),
        ({"scheduler": "PNDMScheduler", "preset": "fine"}, "PNDMScheduler", 5),
        ({"preset": "fine"}, "DEISMultistepScheduler", 4),
        ({"scheduler": "DEISMultistepScheduler"}, "DEISMultistepScheduler", 3),
    ],
)
def test_class_that_is_named_is_used_and_told(
    service: Service, asked: dict[str, Any], scheduler: str, steps: int
) -> None:
    answer = ask(service, "POST", "/invocations", prompt="a cat", seed=1, **asked).json()
    assert (answer["effective"]["scheduler"], answer["effective"]["completed_steps"]) == (scheduler, steps)
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["param"]) == ("scheduler_adapter", "scheduler")
    assert scheduler in warning["detail"]


def test_table_that_is_named_is_no_cause_for_a_warning(service: Service) -> None:
    answer = ask(service, "POST", "/invocations", prompt="a cat", seed=1, scheduler="heun").json()
    assert (answer["effective"]["scheduler"], answer["effective"]["completed_steps"]) == ("heun", 5)
    assert answer["warnings"] == []


def test_info_lists_the_classes_that_the_rom_names(service: Service) -> None:
    (rom,) = ask(service, "GET", "/info").json()["roms"]
    field = rom["accepts"]["properties"]["scheduler"]
    assert field["enum"] == [*SCHEDULERS, "PNDMScheduler", "DEISMultistepScheduler"]
    assert field["default"] == "PNDMScheduler"


def test_what_the_rom_does_not_name_is_refused(service: Service) -> None:
    answer = ask(service, "POST", "/invocations", prompt="a cat", scheduler="LMSDiscreteScheduler")
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "scheduler")
    assert "unipc, lcm, PNDMScheduler, DEISMultistepScheduler" in answer.json()["error"]["message"]
