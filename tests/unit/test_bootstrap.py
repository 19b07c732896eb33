"""From settings to a running service: what is loaded, and when `/ping` says ready."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.bootstrap import running
from app.core import GenerationParams, GenerationRequest, Health
from app.errors import NotReady, SettingsError
from app.invoker.jobs import Job
from app.invoker.service import Service
from app.settings import Settings
from deploy.running import wait_until
from tests.support.tiny_clip import build_tiny_clip

_PATIENCE_S = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two ROMs without weights."""
    for name in ("ann", "bob"):
        add_rom(tmp_path, name)
    return tmp_path


def add_rom(store: Path, name: str, text: str = "family: fake\n") -> None:
    (store / name).mkdir()
    (store / name / "rom.yaml").write_text(f"id: {name}\n{text}")


@contextmanager
def started(store: Path, **settings: object) -> Iterator[Service]:
    """A service that has left STARTING."""
    with running(Settings(rom_sources=(f"file://{store}",), **settings)) as service:  # type: ignore[arg-type]
        wait_until(lambda: service.health.read()[0] is not Health.STARTING, _PATIENCE_S)
        yield service


def ask(service: Service, model: str = "auto") -> str:
    job = Job(GenerationRequest("a", GenerationParams("a red star", seed=1), model))
    return service.invoker.invoke(job).route.rom_id


def test_everything_is_preloaded_by_default(store: Path) -> None:
    with started(store, ready="all") as service:
        assert service.health.read()[0] is Health.READY
        assert sorted(service.invoker.cache.resident()) == ["ann", "bob"]


def test_only_the_named_roms_are_preloaded_and_others_load_when_asked_for(store: Path) -> None:
    with started(store, preload=("bob",)) as service:
        assert service.invoker.cache.resident() == ["bob"]
        assert ask(service, "ann") == "ann"
        assert sorted(service.invoker.cache.resident()) == ["ann", "bob"]


def test_nothing_is_preloaded_on_request_and_the_service_is_ready(store: Path) -> None:
    with started(store, preload="none") as service:
        assert service.health.read()[0] is Health.READY
        assert service.invoker.cache.resident() == []
        assert ask(service) == "ann"


def test_the_default_rom_answers_auto(store: Path) -> None:
    with started(store, default_rom="bob") as service:
        assert ask(service) == "bob"


def test_a_broken_rom_does_not_stop_the_others(store: Path) -> None:
    add_rom(store, "cid", "family: unheard_of\n")
    with started(store) as service:
        assert service.health.read()[0] is Health.READY
        wait_until(lambda: "cid" in service.invoker.catalog.quarantined, _PATIENCE_S)
        assert "unheard_of" in service.invoker.catalog.quarantined["cid"]


def test_a_model_that_others_use_is_waited_for_until_it_is_there(store: Path) -> None:
    build_tiny_clip(store / "clip")
    (store / "clip" / "rom.yaml").write_text("id: clip\nfamily: clip\n")
    with started(store, ready=("clip", "ann")) as service:
        assert service.health.read()[0] is Health.READY


@pytest.mark.parametrize("ready", ["all", ("cid",)])
def test_a_service_that_needs_a_broken_rom_never_says_ready(store: Path, ready: object) -> None:
    add_rom(store, "cid", "family: unheard_of\n")
    with started(store, ready=ready) as service:
        health, reason = service.health.read()
        assert health is Health.SETUP_FAILED
        assert "cid" in reason and "unheard_of" in reason
        with pytest.raises(NotReady):
            ask(service)


def test_a_source_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CARTRIDGE_ROM_SOURCES"), started(tmp_path / "nowhere"):
        pass


def test_after_a_drain_new_requests_are_refused(store: Path) -> None:
    with started(store) as service:
        assert service.invoker.drain(timeout_s=5)
        with pytest.raises(NotReady, match="stopping"):
            ask(service)


@pytest.mark.parametrize("holds", ["a ROM", "one ROM", "an archive", "nothing"])
def test_what_the_platform_has_put_in_its_place_is_the_last_source(store: Path, tmp_path: Path, holds: str) -> None:
    place = tmp_path / "opt" / "model"
    place.mkdir(parents=True)
    if holds == "one ROM":
        (place / "rom.yaml").write_text("id: eve\nfamily: fake\n")
    elif holds != "nothing":
        add_rom(place, "eve")
    if holds == "an archive":
        shutil.make_archive(str(place / "eve"), "gztar", place, "eve")
        shutil.rmtree(place / "eve")
    with started(store, model_dir=place, cache_dir=tmp_path / "cache") as service:
        assert list(service.invoker.supply.library.catalog.roms) == [
            "ann",
            "bob",
            *(["eve"] if holds != "nothing" else []),
        ]
