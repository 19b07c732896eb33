"""Broken ROMs beside a sound one: they are told apart, and the sound one serves."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.running import wait_until
from tests.service.conftest import Start
from tests.support.roms import describe_file, write_manifest
from tests.support.serving import PATIENCE_S, Serving, problem, serving

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def lose_weights(rom: Path) -> None:
    (rom / WEIGHTS).unlink()


def lose_component(rom: Path) -> None:
    shutil.rmtree(rom / "text_encoder")


def cut_short(rom: Path) -> None:
    os.truncate(rom / WEIGHTS, (rom / WEIGHTS).stat().st_size // 2)


def pickle_weights(rom: Path) -> None:
    (rom / WEIGHTS).write_bytes(pickle.dumps({"weight": [0.0]}))


def change_a_byte(rom: Path) -> None:
    """Found when the ROM is loaded: sizes and headers are as they should be."""
    write_manifest(rom, family="stable_diffusion", files=[describe_file(rom, WEIGHTS)])
    with (rom / WEIGHTS).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")


def spoil_config(rom: Path) -> None:
    """Found when the ROM is loaded."""
    config = rom / "unet" / "config.json"
    config.write_text(config.read_text().replace("CrossAttnUpBlock2D", "NoSuchBlock"))


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "weightless": (lose_weights, "'unet' has no weights"),
    "incomplete": (lose_component, "'text_encoder' is missing"),
    "truncated": (cut_short, "cut short"),
    "pickled": (pickle_weights, "is a pickle"),
    "altered": (change_a_byte, "sha256"),
    "misfit": (spoil_config, "does not load"),
}


@pytest.fixture(scope="module")
def wounded(tiny_rom: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A service with a sound ROM `sound` and one of each kind of BROKEN."""
    store = tmp_path_factory.mktemp("wounded")
    shutil.copytree(tiny_rom, store / "sound")
    for name, (spoil, _) in BROKEN.items():
        shutil.copytree(tiny_rom, store / name)
        spoil(store / name)
    with serving(tmp_path_factory.mktemp("service"), CARTRIDGE_ROM_SOURCES=f"file://{store}") as started:
        started.until_ready()
        wait_until(lambda: len(started.http.get("/info").json()["quarantined"]) == len(BROKEN), PATIENCE_S)
        yield started


@pytest.mark.parametrize("name", BROKEN)
def test_info_gives_the_reason(wounded: Serving, name: str) -> None:
    info = wounded.http.get("/info").json()
    assert BROKEN[name][1] in info["quarantined"][name]
    assert [rom["id"] for rom in info["roms"]] == ["sound"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_request_for_it_is_503_with_the_reason_and_without_retry(wounded: Serving, name: str) -> None:
    answer = wounded.invoke(prompt="a red star", model=name)
    error = problem(answer, 503, "rom_unavailable")
    assert BROKEN[name][1] in error["message"]
    assert (error["param"], error["retryable"]) == ("model", False)
    assert "retry-after" not in answer.headers


def test_the_sound_one_answers_after_all_of_them(wounded: Serving) -> None:
    for name in BROKEN:
        wounded.invoke(prompt="a red star", model=name)
    answer = wounded.invoke(prompt="a red star", num_inference_steps=2)
    assert (answer.status_code, answer.json()["model"]) == (200, "sound")


def test_the_log_names_each_with_its_reason(wounded: Serving) -> None:
    logged = {line["rom"]: line["reason"] for line in wounded.events("rom_quarantined")}
    assert logged.keys() == BROKEN.keys()


def test_a_service_with_broken_roms_only_is_never_ready_and_says_why(
    start: Start, tiny_rom: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_rom, tmp_path / "roms" / "truncated")
    cut_short(tmp_path / "roms" / "truncated")
    service = start(CARTRIDGE_ROM_SOURCES=f"file://{tmp_path / 'roms'}")
    wait_until(lambda: bool(service.events("setup_failed")), PATIENCE_S)
    answer = service.http.get("/ping")
    assert (answer.status_code, answer.json()["status"]) == (503, "setup_failed")
    assert "cut short" in answer.json()["reason"]
