"""Settings come from the environment, once; a wrong one stops the start with its name."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from app.errors import SettingsError
from app.settings import MIB, Settings, read_settings, unknown_variables


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CARTRIDGE_")]:
        monkeypatch.delenv(name)


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"CARTRIDGE_{name.upper()}", value)
    return read_settings()


def test_nothing_needs_to_be_set() -> None:
    settings = read_settings()
    assert settings.rom_sources == ("file://model_store",)
    assert (settings.preload, settings.ready, settings.default_rom) == ("all", "any", None)
    assert settings.max_request_bytes == settings.max_response_bytes == 6 * MIB
    assert settings.request_timeout_s < 60  # SageMaker's own limit


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, max_queue_size="", preload="") == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///roms", ("file:///roms",)),
        ("file:///roms,file:///more", ("file:///roms", "file:///more")),
        (" file:///roms , file:///more ,", ("file:///roms", "file:///more")),
    ],
)
def test_commas_separate_sources(monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, ...]) -> None:
    assert read(monkeypatch, rom_sources=text).rom_sources == expected


@pytest.mark.parametrize("word", ["all", "none"])
def test_words_of_preload_stand_alone(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    assert read(monkeypatch, preload=word).preload == word


def test_lists_of_roms(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, preload="shapes, scenes", ready="shapes")
    assert (settings.preload, settings.ready) == (("shapes", "scenes"), ("shapes",))


def test_numbers_and_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, max_batch_size="16", request_timeout_s="12.5", log_prompts="true")
    assert (settings.max_batch_size, settings.request_timeout_s, settings.log_prompts) == (16, 12.5, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_queue_size", "0"),
        ("max_queue_size", "many"),
        ("max_batch_size", "-1"),
        ("request_timeout_s", "0"),
        ("request_timeout_s", "nan"),
        ("memory_bytes", "-5"),
        ("memory_bytes", "12i"),
        ("disk_bytes", "101%"),
        ("idle_ttl_s", "inf"),
        ("preload", "all,none"),
        ("ready", "none"),
        ("pin", "all"),
        ("multi_model", "maybe"),
        ("max_response_bytes", str(26 * MIB)),
        ("dtype", "int8"),
        ("device", "tpu"),
        ("runtime", "onnx"),
        ("rom_sources", "ftp://roms"),
        ("log_prompts", "perhaps"),
    ],
)
def test_wrong_value_is_named_with_what_it_was(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"CARTRIDGE_{name.upper()}=") as raised:
        read(monkeypatch, **{name: value})
    assert value in raised.value.message


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"CARTRIDGE_DTYPE.*CARTRIDGE_THREADS"):
        read(monkeypatch, dtype="int8", threads="-1")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_settings().max_queue_size = 1  # type: ignore[misc]


def test_variable_that_nothing_reads_is_told_with_what_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CARTRIDGE_MEMORY_BYTE", "CARTRIDGE_XYZ", "CARTRIDGE_URL", "CARTRIDGE_PIN", "CARTRIDGE_MULTI_MODEL"):
        monkeypatch.setenv(name, "1")
    assert unknown_variables() == {"CARTRIDGE_MEMORY_BYTE": "CARTRIDGE_MEMORY_BYTES", "CARTRIDGE_XYZ": ""}
