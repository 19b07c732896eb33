"""The page in a browser, as a person sees it. `make test-ui` runs these."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.support.serving import PATIENCE_S, Serving
from tests.ui.conftest import INJECTION, one_cancelled

pytestmark = pytest.mark.browser

TAGS = "1girl, solo, smile"
TEMPLATES = "${alert(1)} {{#each value}}x{{/each}}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "these tests need chromium"
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser: Browser, page: str) -> Iterator[Page]:
    """The page, open. It asks no other host for anything, and opens no dialog."""
    hosts: set[str] = set()
    dialogs: list[str] = []
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE_S * 1000)
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    opened.on("dialog", lambda dialog: dialogs.append(dialog.message))
    opened.goto(page)
    expect(opened.locator("#head")).to_contain_text("3 ROMs that make images")
    yield opened
    opened.close()
    assert hosts - {""} == {urlsplit(page).netloc}  # "": of data
    assert dialogs == []


def press(tab: Page, button: str, prompt: str, model: str | None = None) -> None:
    if model is not None:
        tab.get_by_label("Model").click()
        tab.get_by_role("option").filter(has_text=model).click()
    tab.get_by_label("Prompt", exact=True).fill(prompt)
    tab.get_by_role("button", name=button).click()


def bar(tab: Page, table: str, name: str) -> Locator:
    return tab.get_by_role("table", name=table).get_by_role("meter", name=name)


def width_of(bar: Locator) -> float:
    box = bar.locator(".fill").bounding_box()
    assert box is not None
    return box["width"]


def test_which_rom_shows_bars_that_order_the_roms(tab: Page) -> None:
    press(tab, "Which ROM?", TAGS)
    expect(tab.locator(".choice strong")).to_have_text("manga")
    for table in ("ROMs", "Domains"):
        expect(bar(tab, table, "manga")).to_be_visible()
        assert width_of(bar(tab, table, "manga")) > 3 * width_of(bar(tab, table, "painter"))
    expect(tab.locator("#images img")).to_have_count(0)


def test_generate_shows_an_image_and_the_bars(tab: Page) -> None:
    press(tab, "Generate", "oil painting of a calm sea")
    expect(tab.locator("#status")).to_contain_text("painter drew in")
    expect(tab.locator("#images img")).to_be_visible()
    assert tab.locator("#images img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    expect(bar(tab, "ROMs", "painter")).to_be_visible()


def test_markup_and_scripts_of_prompts_and_roms_are_shown_as_text(tab: Page) -> None:
    tab.get_by_label("Model").click()
    expect(tab.get_by_role("option").filter(has_text=f"manga {INJECTION}")).to_be_visible()
    tab.keyboard.press("Escape")
    for button in ("Which ROM?", "Generate"):
        press(tab, button, f"{TAGS}, {INJECTION} {TEMPLATES}")
        expect(tab.locator(".rules")).to_contain_text(f"booru tags {INJECTION}")
    expect(tab.locator("#status")).to_contain_text("manga drew in")
    tab.get_by_role("button", name="What the service answered").click()
    expect(tab.get_by_text(TEMPLATES).last).to_be_visible()
    expect(tab.locator("img[src=x]")).to_have_count(0)
    expect(tab).to_have_title("Cartridge")


def test_wrong_steps_are_told_in_the_words_of_the_service(tab: Page) -> None:
    tab.get_by_label("Steps").fill("0")
    press(tab, "Generate", TAGS)
    expect(tab.get_by_role("alert")).to_contain_text("422: num_inference_steps")


def test_stop_cancels_the_request(tab: Page, service: Serving) -> None:
    with one_cancelled(service):
        tab.get_by_label("Images").fill("64")
        press(tab, "Generate", TAGS, model="endless")
        expect(tab.get_by_role("meter", name="progress")).to_be_visible()
        tab.get_by_role("button", name="Stop").click()
        expect(tab.locator("#status")).to_have_text("Stopped.")


def test_who_leaves_cancels_the_request(tab: Page, service: Serving) -> None:
    with one_cancelled(service):
        tab.get_by_label("Images").fill("64")
        press(tab, "Generate", TAGS, model="endless")
        expect(tab.get_by_role("meter", name="progress")).to_be_visible()
        tab.close()
