"""The page through its own API, as a browser calls it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from deploy.running import free_port
from tests.service.test_routing import DOMAINS
from tests.support.serving import Serving
from tests.ui.conftest import INJECTION, one_cancelled, opened_page

TAGS = "1girl, solo, smile"


class Visitor:
    """Somebody who fills in the form and presses its buttons."""

    def __init__(self, address: str, directory: Path) -> None:
        self.client = Client(address, download_files=str(directory), verbose=False, analytics_enabled=False)

    @staticmethod
    def form(prompt: str, **fields: str) -> list[str | None]:
        names = ("negative_prompt", "model", "preset", "steps", "guidance", "seed", "number", "upscale")
        filled = {"model": "auto", "preset": "default", "number": "1", "upscale": "none"} | fields
        assert filled.keys() <= set(names)
        return [prompt, *(filled.get(name, "") for name in names)]

    def press(self, button: str, prompt: str, **fields: str) -> tuple[str, list[dict[str, Any]], str, dict[str, Any]]:
        """What is then said, the images, the routing, and the service's answer."""
        status, pictures, routing, answer = self.client.predict(*self.form(prompt, **fields), api_name=f"/{button}")
        return status, pictures, routing, answer


@pytest.fixture(scope="module")
def visitor(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    someone = Visitor(page, tmp_path_factory.mktemp("downloads"))
    yield someone
    someone.client.close()


def bars(html: str) -> dict[str, float]:
    found = re.findall(r'role="meter" aria-label="([^"]*)"[^>]* aria-valuenow="([\d.]+)"', html)
    return {label: float(value) for label, value in found}


def test_generate_shows_the_image_that_the_service_sent_and_why_this_rom(visitor: Visitor, service: Serving) -> None:
    status, pictures, routing, answer = visitor.press("generate", TAGS, seed="7", steps="2")
    (picture,) = pictures
    plain = service.invoke(prompt=TAGS, seed=7, num_inference_steps=2).json()
    assert Path(picture["image"]).read_bytes() == base64.b64decode(plain["images"][0]["b64_json"])
    assert picture["caption"] == "seed 7"
    assert (answer["model"], answer["effective"]) == ("manga", plain["effective"])
    assert all(text in status for text in ("manga", "seed 7", "2 steps", " s</strong>"))
    assert "manga" in routing
    assert bars(routing).keys() >= {"painter", "manga"}


def test_images_may_be_several_of_a_named_rom(visitor: Visitor) -> None:
    status, pictures, routing, answer = visitor.press(
        "generate", TAGS, model="painter", number="3", seed="7", steps="1"
    )
    assert [picture["caption"] for picture in pictures] == ["seed 7", "seed 8", "seed 9"]
    assert (answer["model"], bars(routing)) == ("painter", {})
    assert "named by the request" in routing
    assert "seeds 7, 8, 9" in status


def test_progress_and_previews_are_shown_while_it_runs(visitor: Visitor) -> None:
    fields = {"model": "endless", "steps": "1000", "number": "4"}
    job = visitor.client.submit(*visitor.form(TAGS, **fields), api_name="/generate")
    job.result()
    *moments, _ = job.outputs()
    assert any(re.search(r"Step \d+ of 1000,", status) and bars(status)["progress"] > 0 for status, *_ in moments)
    captions = [picture["caption"] for _, pictures, *_ in moments for picture in pictures]
    assert captions and all(re.fullmatch(r"after step \d+", caption) for caption in captions)


@pytest.mark.parametrize(("prompt", "rom"), [("oil painting of a calm sea", "painter"), (TAGS, "manga")])
def test_route_has_a_bar_for_each_rom_and_domain_the_best_first(visitor: Visitor, prompt: str, rom: str) -> None:
    _, pictures, routing, answer = visitor.press("route", prompt)
    assert pictures == []
    assert answer["chosen"] == rom
    roms, domains = (bars(part) for part in routing.split('aria-label="Domains"'))
    assert roms == pytest.approx(answer["scores"], abs=1e-4)
    assert next(iter(roms)) == next(iter(domains)) == rom == max(roms, key=lambda name: roms[name])
    assert domains.keys() == DOMAINS.keys() | {"endless", "none of these"}
    assert "rules alone" in routing and "classifier alone" in routing


@pytest.mark.parametrize("button", ["generate", "route"])
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"steps": "0"}, "num_inference_steps"),
        ({"steps": "many"}, "num_inference_steps"),
        ({"guidance": "nan"}, "guidance_scale"),
        ({"seed": "-1"}, "seed"),
        ({"number": "2.5"}, "num_images_per_prompt"),
        ({"model": "mango"}, "no ROM has the id"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_the_service(
    visitor: Visitor, service: Serving, button: str, fields: dict[str, str], field: str
) -> None:
    status, pictures, *_ = visitor.press(button, TAGS, **fields)
    assert re.search(rf'class="error"[^>]*>4\d\d: .*{field}', status)
    assert pictures == []


def test_the_words_are_those_of_the_service(visitor: Visitor, service: Serving) -> None:
    refused = service.invoke(prompt=TAGS, upscale=2).json()["error"]["message"]
    assert refused in visitor.press("generate", TAGS, upscale="2")[0]


def test_no_html_comes_from_a_prompt_or_a_rom(visitor: Visitor) -> None:
    for button in ("generate", "route"):
        status, _, routing, answer = visitor.press(button, f"{TAGS}, {INJECTION}", steps="1")
        assert (
            answer["routing"]["chosen"] if button == "generate" else any(INJECTION in rule for rule in answer["rules"])
        )
        assert "&lt;img" in routing
        assert "<img" not in status + routing


ENDLESS = {"model": "endless", "steps": "1000", "number": "64"}


def test_stop_cancels_the_request(visitor: Visitor, service: Serving) -> None:
    with one_cancelled(service):
        job = visitor.client.submit(*visitor.form(TAGS, **ENDLESS), api_name="/generate")
        service.until_depth(1)
        visitor.client.predict(api_name="/stop")
    assert "Stopped." in job.result()[0]


def test_who_leaves_cancels_the_request(visitor: Visitor, service: Serving) -> None:
    with one_cancelled(service):
        job = visitor.client.submit(*visitor.form(TAGS, **ENDLESS), api_name="/generate")
        service.until_depth(1)
        job.cancel()


def test_the_page_tells_where_nobody_answers_and_lets_the_browser_load_nothing_else(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with opened_page(url, tmp_path) as address:
        status, *_ = Visitor(address, tmp_path).press("route", TAGS)
        headers = httpx.get(address).headers
    assert f"{url} does not answer" in status
    assert "default-src 'self'" in headers["content-security-policy"]
