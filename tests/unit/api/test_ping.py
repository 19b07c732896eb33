"""`/ping`, by the state of the service."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import httpx

from app.api.app import create_app
from app.bootstrap import running
from app.core import Health
from app.invoker.service import Service
from app.settings import Settings
from deploy.running import wait_until
from tests.support.loader import PATIENCE_S
from tests.support.serving import FAKE_STORE


def ping(service: Service) -> tuple[int, str, str]:
    """Status, state and reason."""

    async def ask() -> httpx.Response:
        app = create_app(lambda: nullcontext(service))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cartridge") as client,
        ):
            return await client.get("/ping")

    answer = asyncio.run(ask())
    return answer.status_code, answer.json()["status"], answer.json()["reason"]


def test_it_is_200_only_while_the_service_can_serve() -> None:
    with running(Settings(rom_sources=(FAKE_STORE,), stall_after_s=120)) as service:
        wait_until(lambda: ping(service)[0] == 200, PATIENCE_S)
        service.health.watch(lambda: 121.0)
        status, state, reason = ping(service)
        assert (status, state) == (503, "stalled")
        assert "121 s" in reason
        service.health.watch(lambda: 1.0)
        assert ping(service)[:2] == (200, "ready")
        service.health.become(Health.DEVICE_FAILED, "the device fell off the bus")
        assert ping(service) == (503, "device_failed", "the device fell off the bus")
