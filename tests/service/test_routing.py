"""Each prompt gets the ROM of its domain, and `/v1/route` tells why without drawing a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.test_command_line import cartridge
from tests.support.roms import write_manifest
from tests.support.serving import Serving, serving

DOMAINS: dict[str, dict[str, Any]] = {
    "painter": {
        "description": "oil paintings of landscapes and seas",
        "keywords": ["oil painting", "impasto", "canvas"],
        "examples": [
            "oil painting of a stormy sea",
            "a landscape in oil, thick impasto",
            "haystacks at dusk, on canvas",
        ],
    },
    "manga": {
        "description": "anime and manga characters by booru tags",
        "keywords": ["anime", "manga"],
        "examples": ["1girl, solo, blue hair", "anime boy with a sword", "2girls, school uniform, smile"],
        "rules": [{"name": "booru tags", "tags": ["1girl", "2girls", "solo", "smile"], "degree": 0.95}],
    },
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    store = tmp_path_factory.mktemp("store")
    for rom_id, domain in DOMAINS.items():
        words = {"trigger_words": ["mangastyle"]} if rom_id == "manga" else {}
        write_manifest(store / rom_id, domain=domain, limits={"max_pixels": 128 * 128}, **words)
    environment = {"CARTRIDGE_ROM_SOURCES": f"file://{store}", "CARTRIDGE_READY": "all"}
    with serving(tmp_path_factory.mktemp("service"), **environment, CARTRIDGE_DEFAULT_ROM="painter") as started:
        yield started.until_ready()


def route(service: Serving, **fields: Any) -> httpx.Response:
    return httpx.post(f"{service.local.url}/v1/route", json=fields)


@pytest.mark.parametrize(
    ("prompt", "rom"), [("oil painting of a calm sea", "painter"), ("1girl, solo, smile", "manga")]
)
def test_each_prompt_is_answered_by_the_rom_of_its_domain(service: Serving, prompt: str, rom: str) -> None:
    answer = service.invoke(prompt=prompt, num_inference_steps=1).json()
    assert (answer["model"], answer["routing"]["chosen"]) == (rom, rom)
    assert rom in answer["routing"]["reason"]
    assert max(answer["routing"]["scores"], key=answer["routing"]["scores"].get) == rom


def test_what_the_rom_adds_is_told_and_can_be_switched_off(service: Serving) -> None:
    prompt = "1girl, solo, smile"
    told = [service.invoke(prompt=prompt, num_inference_steps=1, preset=name).json() for name in ("default", "none")]
    assert [answer["effective"]["prompt"] for answer in told] == [f"mangastyle, {prompt}", prompt]


def test_prompt_of_no_domain_is_answered_by_the_default_with_a_warning(service: Serving) -> None:
    answer = service.invoke(prompt="SELECT id FROM users WHERE age > 30", num_inference_steps=1).json()
    assert answer["model"] == "painter"
    assert [warning["code"] for warning in answer["warnings"]] == ["out_of_domain"]


def test_route_tells_why_and_draws_nothing(service: Serving) -> None:
    before = service.metric("cartridge_batch_size_count", rom="manga")
    answer = route(service, prompt="1girl, solo, smile").json()
    assert service.metric("cartridge_batch_size_count", rom="manga") == before
    assert (answer["chosen"], answer["without_cost"]) == ("manga", "manga")
    assert sum(answer["domains"].values()) == pytest.approx(1, abs=1e-4)
    assert {"rules", "classifier"} <= answer["sources"].keys()
    assert any("booru tags" in rule for rule in answer["rules"])
    assert {rom["rom_id"] for rom in answer["roms"]} == set(DOMAINS)


def test_candidates_and_a_named_model_are_kept_to(service: Serving) -> None:
    prompt = "1girl, solo, smile"
    assert route(service, prompt=prompt, routing={"candidates": ["painter"]}).json()["chosen"] == "painter"
    assert route(service, prompt=prompt, model="painter").json()["reason"] == "named by the request"


@pytest.mark.parametrize(
    ("routing", "field"),
    [
        ({"mode": "guess"}, "routing.mode"),
        ({"candidates": []}, "routing.candidates"),
        ({"candidates": ["nobody"]}, "routing.candidates"),
        ({"temperature": -1}, "routing.temperature"),
        ({"modus": "rules"}, "routing.modus"),
        ({"mode": "similarity"}, "routing.mode"),
        ("rules", "routing"),
    ],
)
def test_wrong_routing_is_refused_by_its_field(service: Serving, routing: Any, field: str) -> None:
    for answer in (route(service, prompt="a sea", routing=routing), service.invoke(prompt="a sea", routing=routing)):
        assert answer.status_code in (404, 422)
        assert answer.json()["error"]["param"] == field


def test_command_prints_a_table(service: Serving) -> None:
    done = cartridge("route", "1girl, solo, smile", "--url", service.local.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("manga: ")
    assert "LIKELIHOOD" in done.stdout
    assert "CLASSIFIER" in done.stdout
    only = cartridge("route", "1girl, solo, smile", "--candidate", "painter", "--url", service.local.url)
    assert only.stdout.startswith("painter: ")


def test_command_tells_what_the_service_has_against_it(service: Serving, tmp_path: Path) -> None:
    done = cartridge("route", "a sea", "--candidate", "nobody", "--url", service.local.url)
    assert done.returncode == 1
    assert "404: no ROM has the id 'nobody'" in done.stderr
