"""One request through the invoker: admitted or refused, answered, and everything it borrowed given back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.core import GenerationParams, GenerationRequest, Health, OutputOptions
from app.engine.engine import Engine
from app.errors import (
    BackendError,
    CartridgeError,
    DeadlineExceeded,
    InvalidRequest,
    ManifestError,
    NotReady,
    RomUnavailable,
    UnknownRom,
)
from app.health import HealthMonitor
from app.invoker.invoker import Invoker, InvokerLimits
from app.invoker.jobs import Job
from app.invoker.supply import Supply
from app.metrics import Metrics
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from tests.support.backends import GatedBackend, TroubledBackend, UndecodableBackend
from tests.support.bench import StepLog
from tests.support.loader import footprint_of, library_of
from tests.support.roms import make_rom
from tests.support.routers import make_router

PATIENCE_S = 120.0  # only a test that fails, or a machine that starves it, waits this long
LIMITS = InvokerLimits(max_queue_size=2, request_timeout_s=PATIENCE_S, max_image_bytes=1_000_000)


class Stand:
    """An invoker over ROMs `sound`, `troubled`, `undecodable`, `slow` and `damaged`."""

    def __init__(self, engine: Engine, limits: InvokerLimits) -> None:
        self.slow = GatedBackend()
        self.health = HealthMonitor()
        self.backends: dict[str, Backend] = {
            "sound": FakeBackend(),
            "troubled": TroubledBackend(),
            "undecodable": UndecodableBackend(),
            "slow": self.slow,
        }
        library = library_of(*(make_rom(rom_id, 10) for rom_id in (*self.backends, "damaged")))
        self.cache = ModelCache(self.load, footprint_of, 1_000_000)
        started: Future[Engine] = Future()
        started.set_result(engine)
        supply = Supply(library, self.cache)
        self.invoker = Invoker(supply, started, make_router(supply, started), self.health, Metrics(), limits)
        self.health.become(Health.READY, "ready")

    def load(self, rom: Rom) -> Backend:
        if rom.id not in self.backends:
            raise ManifestError("its digest is wrong")
        return self.backends[rom.id]

    def ask(self, model: str = "sound", **changes: Any) -> Any:
        params = GenerationParams("a lighthouse", num_inference_steps=2, seed=7)
        return self.invoker.invoke(Job(replace(GenerationRequest("r1", params, model=model), **changes)))


@contextmanager
def standing(limits: InvokerLimits = LIMITS) -> Iterator[Stand]:
    engine = Engine(4, StepLog())
    engine.start()
    stand = Stand(engine, limits)
    yield stand
    stand.slow.gate.set()
    engine.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    with standing() as stand:
        yield stand


def test_answer_says_who_made_it_of_what(stand: Stand) -> None:
    result = stand.ask()
    assert (result.request_id, result.route.rom_id) == ("r1", "sound")
    assert result.effective.num_inference_steps == 2
    (image,) = result.images
    assert (image.seed, image.width, image.height, image.mime_type) == (7, 64, 64, "image/png")
    assert image.data.startswith(b"\x89PNG")


def test_times_are_parts_of_the_total(stand: Stand) -> None:
    times = vars(stand.ask().timings)
    assert all(seconds >= 0 for seconds in times.values())
    assert times.pop("total_s") >= sum(times.values()) * 0.99


def test_every_image_has_its_seed_and_its_own_pixels(stand: Stand) -> None:
    images = stand.ask(params=GenerationParams("a lighthouse", seeds=(5, 9, 7), num_inference_steps=2)).images
    assert [image.seed for image in images] == [5, 9, 7]
    assert len({image.data for image in images}) == 3
    assert images[2].data == stand.ask().images[0].data


def test_rom_is_resident_from_its_second_request_on(stand: Stand) -> None:
    assert [stand.ask().route.resident for _ in range(2)] == [False, True]


def test_everything_that_was_changed_is_told() -> None:
    with standing(replace(LIMITS, max_image_bytes=900)) as stand:
        params = GenerationParams("word " * 100, negative_prompt="grey", guidance_scale=1.0, seeds=(1, 2, 3))
        result = stand.ask(params=params, timeout_s=1000.0)
    assert [(notice.code, notice.param) for notice in result.notices] == [
        ("changed", "timeout_s"),
        ("ignored", "negative_prompt"),
        ("truncated", "prompt"),
        ("changed", "output_format"),
    ]
    assert sum(len(image.data) for image in result.images) <= 900


def test_unfinished_request_fails_when_draining_takes_too_long(stand: Stand) -> None:
    with ThreadPoolExecutor(2) as callers:
        running = callers.submit(stand.ask, "slow")
        assert stand.slow.entered.wait(PATIENCE_S)
        draining = callers.submit(stand.invoker.drain, 0)
        stand.slow.gate.set()
        assert draining.result(PATIENCE_S) is False
        assert isinstance(running.exception(PATIENCE_S), NotReady)


def test_draining_waits_for_what_was_accepted_and_refuses_the_rest(stand: Stand) -> None:
    with ThreadPoolExecutor(2) as callers:
        running = callers.submit(stand.ask, "slow")
        assert stand.slow.entered.wait(PATIENCE_S)
        stand.health.become(Health.DRAINING, "stopping")
        draining = callers.submit(stand.invoker.drain, PATIENCE_S)
        with pytest.raises(NotReady):
            stand.ask()
        stand.slow.gate.set()
        assert running.result(PATIENCE_S).images
        assert draining.result(PATIENCE_S) is True


def test_rom_that_turns_out_broken_is_quarantined_and_the_others_are_served(stand: Stand) -> None:
    for _ in range(2):
        with pytest.raises(RomUnavailable, match="its digest is wrong") as raised:
            stand.ask("damaged")
        assert not raised.value.retryable
    assert "damaged" in stand.invoker.catalog.quarantined
    assert stand.ask().images


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "unknown"}, UnknownRom),
        ({"model": "damaged"}, RomUnavailable),
        ({"model": "undecodable"}, BackendError),
        ({"model": "troubled", "params": GenerationParams(TroubledBackend.UNENCODABLE)}, BackendError),
        ({"model": "troubled", "params": GenerationParams(TroubledBackend.UNPREDICTABLE)}, BackendError),
        ({"params": GenerationParams("a lighthouse", width=63)}, InvalidRequest),
        ({"timeout_s": 1e-9}, DeadlineExceeded),
    ],
)
def test_request_that_fails_gives_back_its_place_and_its_rom(
    stand: Stand, changes: dict[str, Any], error: type[CartridgeError]
) -> None:
    with pytest.raises(error):
        stand.ask(**changes)
    assert stand.invoker.drain(0)
    stand.cache.unload_idle()
    assert stand.cache.resident() == []


def test_timeout_of_a_request_is_never_above_the_services() -> None:
    with standing(replace(LIMITS, request_timeout_s=1e-9)) as stand, pytest.raises(DeadlineExceeded):
        stand.ask(timeout_s=1000.0)


def test_asked_format_is_used(stand: Stand) -> None:
    result = stand.ask(output=OutputOptions("webp", 50))
    assert result.images[0].mime_type == "image/webp"
    assert result.images[0].data[8:12] == b"WEBP"
