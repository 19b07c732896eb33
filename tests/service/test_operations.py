"""What those who run the service see: log, metrics, /info; and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.running import wait_until
from tests.service.conftest import RomFiles, Start, files_of
from tests.support.serving import PATIENCE_S, Serving

SECRET = "a secret red star"
STEP_METRICS = ("cartridge_denoise_step_seconds_count", "cartridge_batch_size_count")
REQUEST_METRICS = ("cartridge_request_duration_seconds_count", "cartridge_queue_wait_seconds_count")


def test_every_line_of_the_log_is_json_with_time_level_and_event(service: Serving) -> None:
    (ready,) = service.events("ready")
    assert ready["level"] == "info"
    assert ready["time"].endswith("+00:00")
    assert ready["roms"] == ["endless", "fake", "tiny"]


def test_the_log_tells_of_a_request_who_what_and_how_long(service: Serving) -> None:
    answer = service.invoke(prompt=SECRET, num_inference_steps=3).json()
    line = service.logged(answer["id"])
    assert (line["status"], line["rom"], line["steps"]) == (200, "fake", 3)
    assert line["timings"].keys() == answer["timings"].keys()
    assert line["seconds"] >= line["timings"]["denoise_s"] >= 0


def test_the_log_tells_of_a_refused_request_why(service: Serving) -> None:
    answer = service.invoke(prompt=SECRET, width=100)
    line = service.logged(answer.json()["error"]["request_id"])
    assert (line["status"], line["code"], line["param"]) == (422, "invalid_request", "width")


def test_prompts_are_not_in_the_log(service: Serving) -> None:
    answers = [service.invoke(prompt=SECRET).json()["id"], service.invoke(prompt=SECRET, request_id="r1").json()["id"]]
    for request_id in answers:
        service.logged(request_id)
    assert SECRET not in service.stdout() + service.stderr()


def test_prompts_are_in_the_log_where_a_setting_says_so(start: Start) -> None:
    service = start(CARTRIDGE_LOG_PROMPTS="true").until_ready()
    request_id = service.invoke(prompt=SECRET).json()["id"]
    assert service.logged(request_id)["prompt"] == SECRET


@pytest.mark.parametrize("name", [*STEP_METRICS, *REQUEST_METRICS])
def test_metrics_count_a_request_under_its_rom(service: Serving, name: str) -> None:
    before = service.metric(name, rom="fake")
    service.invoke(prompt="a red star", num_inference_steps=3)
    expected = 3 if name in STEP_METRICS else 1
    wait_until(lambda: service.metric(name, rom="fake") == before + expected, PATIENCE_S)


@pytest.mark.parametrize(
    ("fields", "status", "rom"), [({}, "200", "fake"), ({"width": 100}, "422", "none"), ({"rom": "x"}, "404", "none")]
)
def test_metrics_count_answers_by_status_and_rom(
    service: Serving, fields: dict[str, Any], status: str, rom: str
) -> None:
    before = service.metric("cartridge_requests_total", status=status, rom=rom)
    service.invoke(prompt="a red star", **fields)
    wait_until(lambda: service.metric("cartridge_requests_total", status=status, rom=rom) == before + 1, PATIENCE_S)


def test_metrics_tell_what_is_resident_and_how_long_it_took_to_load(service: Serving) -> None:
    assert service.metric("cartridge_resident_bytes") > 1024
    loads = [service.metric("cartridge_rom_load_seconds_count", rom=rom) for rom in ("fake", "tiny")]
    assert loads == [1, 1]
    wait_until(lambda: service.metric("cartridge_queue_depth") == 0, PATIENCE_S)


def test_info_tells_version_limits_and_roms(service: Serving) -> None:
    info = service.http.get("/info").json()
    assert info["version"].count(".") == 2
    assert info["limits"]["max_request_bytes"] == 6 * 1024 * 1024
    assert info["limits"]["request_timeout_s"] == 55
    roms = {rom["id"]: rom for rom in info["roms"]}
    assert roms.keys() == {"fake", "endless", "tiny"}
    assert roms["fake"]["presets"]["default"]["num_inference_steps"] == 4
    assert roms["tiny"]["parameters"] > 1000
    assert all(rom["resident"] for rom in roms.values())
    assert roms["fake"]["memory"] is None
    memory = roms["tiny"]["memory"]
    assert memory["weights_bytes"] in (2 * roms["tiny"]["parameters"], 4 * roms["tiny"]["parameters"])
    assert memory["largest_image_bytes"] > 0


def test_the_schema_of_a_rom_has_its_limits_and_every_field_that_it_takes(service: Serving) -> None:
    (rom,) = (rom for rom in service.http.get("/info").json()["roms"] if rom["id"] == "fake")
    schema = rom["accepts"]
    assert (schema["type"], schema["additionalProperties"], schema["required"]) == ("object", False, ["prompt"])
    fields = schema["properties"]
    steps = fields["num_inference_steps"]
    limit = steps["maximum"]
    assert (steps["minimum"], limit, steps["default"]) == (1, 50, 4)
    assert service.invoke(prompt="a red star", num_inference_steps=limit).status_code == 200
    assert service.invoke(prompt="a red star", model="fake", num_inference_steps=limit + 1).status_code == 422
    given = {name: field["default"] for name, field in fields.items() if field.get("default") is not None}
    assert service.invoke(prompt="a red star", **given).status_code == 200
    assert service.invoke(prompt="a red star", promt="a typing error").status_code == 422


def test_the_directories_of_roms_are_only_read(service: Serving, roms_before: RomFiles) -> None:
    """Root may write where the mode forbids it, so what counts is that nothing has changed."""
    answers = [service.invoke(prompt="a", model=model, num_inference_steps=2) for model in ("fake", "endless", "tiny")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {directory: files_of(directory) for directory in roms_before} == roms_before
