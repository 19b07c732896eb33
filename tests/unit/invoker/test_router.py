"""Which ROM answers, and what the caller is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.backends.options import LoadOptions
from app.backends.registry import load_rom
from app.core import RoutingOptions
from app.errors import InvalidRequest, NotReady, RomUnavailable, UnknownRom
from app.roms.catalog import Rom, read_rom
from tests.support.roms import make_rom
from tests.support.routers import RouterStand
from tests.support.tiny_clip import build_tiny_clip

SHAPES: dict[str, Any] = {
    "name": "shapes",
    "description": "flat coloured shapes on a plain background",
    "keywords": ["star", "circle", "square"],
    "examples": ["a red star on white", "two blue squares", "a small green circle on black", "a ring above a star"],
}
ANIME: dict[str, Any] = {
    "name": "anime",
    "description": "anime characters by booru tags",
    "keywords": ["anime", "manga"],
    "examples": ["1girl, solo, blue hair", "anime boy with a sword", "2girls, school uniform", "manga style portrait"],
    "rules": [{"name": "booru tags", "tags": ["1girl", "solo", "2girls", "blue hair"], "degree": 0.95}],
}


def shapes(rom_id: str = "shapes", adeptness: float = 1.0, **fields: Any) -> Rom:
    return make_rom(rom_id, 1000, domain=SHAPES | {"adeptness": adeptness}, **fields)


def anime(**fields: Any) -> Rom:
    return make_rom("anime", 1000, domain=ANIME, **fields)


def only(*rom_ids: str) -> RoutingOptions:
    return RoutingOptions(candidates=rom_ids)


@dataclass(frozen=True)
class Case:
    says: str
    prompt: str
    chosen: str

    def __str__(self) -> str:
        return self.says


@pytest.mark.parametrize(
    "case",
    [
        Case("words of the domain", "a yellow star on grey", "shapes"),
        Case("tags of the domain", "1girl, solo, red eyes", "anime"),
        Case("neither, near an example", "portrait in the manner of a manga", "anime"),
    ],
    ids=str,
)
def test_prompt_goes_to_the_rom_of_its_domain(case: Case) -> None:
    decision = RouterStand(shapes(), anime()).explain(case.prompt).decision
    assert decision.rom_id == case.chosen
    assert max(decision.scores, key=decision.scores.__getitem__) == case.chosen


def test_reason_names_the_domain_and_the_rules_that_fired() -> None:
    reason = RouterStand(shapes(), anime()).explain("1girl, solo, blue hair").decision.reason
    assert "anime" in reason
    assert "booru tags" in reason


def test_rom_that_is_named_is_taken_whatever_the_prompt() -> None:
    decision = RouterStand(shapes(), anime(), default_rom="anime").explain("1girl, solo", model="shapes").decision
    assert (decision.rom_id, decision.scores, decision.reason) == ("shapes", {"shapes": 1.0}, "named by the request")


def test_only_rom_needs_no_reading() -> None:
    explanation = RouterStand(shapes()).explain("1girl, solo")
    assert (explanation.decision.rom_id, explanation.decision.reason) == ("shapes", "the only ROM")
    assert explanation.domains == {}


def test_only_candidates_are_chosen_from() -> None:
    explanation = RouterStand(shapes(), anime(), make_rom("third")).explain("1girl, solo", routing=only("shapes"))
    assert explanation.decision.rom_id == "shapes"
    assert [rom.rom_id for rom in explanation.roms] == ["shapes"]


@pytest.mark.parametrize(("candidate", "error"), [("nobody", UnknownRom), ("clip", InvalidRequest)])
def test_candidate_that_no_request_can_be_for_is_refused_by_its_field(candidate: str, error: type[Exception]) -> None:
    stand = RouterStand(shapes(), make_rom("clip", family="clip"))
    with pytest.raises(error) as raised:
        stand.explain(routing=only("shapes", candidate))
    assert getattr(raised.value, "param", None) == "routing.candidates"


def test_where_nothing_tells_the_domain_the_first_resident_rom_answers_however_quick_others_are() -> None:
    stand = RouterStand(make_rom("a", 10), make_rom("b", 10**6), make_rom("c", 10), resident=["c", "b"])
    decision = stand.explain().decision
    assert (decision.rom_id, decision.resident) == ("b", True)
    assert RouterStand(make_rom("a", 10**6), make_rom("b", 10)).explain().decision.rom_id == "a"


def test_default_answers_where_nothing_tells_the_domain() -> None:
    stand = RouterStand(make_rom("a"), make_rom("b"), make_rom("c"), resident=["b"], default_rom="c")
    decision = stand.explain().decision
    assert (decision.rom_id, decision.reason) == ("c", "the default")


def test_prompt_of_no_domain_goes_to_the_default_with_a_warning() -> None:
    stand = RouterStand(shapes(), anime(), default_rom="anime")
    decision = stand.explain("SELECT count(*) FROM orders GROUP BY day").decision
    assert decision.rom_id == "anime"
    assert [notice.code for notice in decision.notices] == ["out_of_domain"]


def test_prompt_of_a_domain_has_no_warning() -> None:
    assert RouterStand(shapes(), anime()).explain("a small red star on white").decision.notices == ()


def test_adept_twin_answers_in_good_time_and_the_quick_one_when_it_is_short() -> None:
    preset = {"default": {"num_inference_steps": 40, "guidance_scale": 5.0}}
    slow = shapes("slow", 0.95, presets=preset)
    turbo = shapes("turbo", 0.88, presets={"default": {"num_inference_steps": 4, "guidance_scale": 0.0}})
    stand = RouterStand(slow, turbo, anime(), resident=["slow", "turbo"])
    assert stand.explain("a red star", timeout_s=10_000).decision.rom_id == "slow"
    run_s = next(rom.run_s for rom in stand.explain("a red star").roms if rom.rom_id == "slow")
    hurried = stand.explain("a red star", timeout_s=run_s * 2)
    assert (hurried.decision.rom_id, hurried.without_cost) == ("turbo", "slow")


def test_cold_rom_that_cannot_be_ready_in_time_is_passed_over() -> None:
    stand = RouterStand(shapes("small", 0.5), resident=["small"])
    stand.catalog.release(make_rom("large", 10**9 - 2000, domain=SHAPES))
    assert stand.explain("a red star", timeout_s=10**6).decision.rom_id == "large"
    explanation = stand.explain("a red star", timeout_s=0.5)
    assert explanation.decision.rom_id == "small"
    assert "takes" in next(rom.obstacle for rom in explanation.roms if rom.rom_id == "large")


@pytest.mark.parametrize(
    ("asked", "obstacle"),
    [
        ({"preset": "wild"}, "has no preset 'wild'"),
        ({"num_inference_steps": 100}, "takes at most 50 steps"),
        ({"width": 512, "height": 512}, "makes at most 4096 pixels"),
        ({"num_images_per_prompt": 4}, "makes at most 2 images"),
    ],
)
def test_rom_that_cannot_do_what_is_asked_is_passed_over(asked: dict[str, Any], obstacle: str) -> None:
    limited = shapes(limits={"max_pixels": 64 * 64, "max_steps": 50, "max_batch": 2})
    stand = RouterStand(limited, anime(presets={"wild": {}}))
    explanation = stand.explain("a red star", **asked)
    assert explanation.decision.rom_id == "anime"
    assert explanation.roms[0].obstacle == obstacle


def test_upscaler_is_no_choice_without_an_image() -> None:
    stand = RouterStand(shapes(), anime(), make_rom("upscaler", family="upscaler"))
    assert "upscaler" not in {rom.rom_id for rom in stand.explain("upscale this star").roms}


def test_same_seed_draws_the_same_rom() -> None:
    stand = RouterStand(shapes("one"), shapes("two"))
    hot = RoutingOptions(temperature=10.0)
    drawn = [stand.explain("a red star", routing=hot, seed=seed).decision.rom_id for seed in range(20)]
    assert drawn == [stand.explain("a red star", routing=hot, seed=seed).decision.rom_id for seed in range(20)]
    assert set(drawn) == {"one", "two"}


def test_mode_that_there_is_not_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidRequest, match="similarity") as raised:
        RouterStand(shapes(), anime()).explain(routing=RoutingOptions(mode="similarity"))
    assert raised.value.param == "routing.mode"


@pytest.mark.parametrize("mode", ["rules", "classifier"])
def test_one_source_can_be_asked_alone(mode: Any) -> None:
    explanation = RouterStand(shapes(), anime()).explain("1girl, solo", routing=RoutingOptions(mode=mode))
    assert explanation.decision.rom_id == "anime"
    assert set(explanation.sources) == {mode}


def test_clip_of_the_catalog_adds_similarity_and_looks_at_the_image(tmp_path: Path) -> None:
    build_tiny_clip(tmp_path / "clip")
    (tmp_path / "clip" / "rom.yaml").write_text("id: clip\nfamily: clip\n")
    clip = read_rom(tmp_path / "clip")
    stand = RouterStand(shapes(), anime(), clip, load=lambda rom: load_rom(rom, LoadOptions()))
    stand.embedder.bring()
    black, white = (np.full((16, 16, 3), level, np.uint8) for level in (0, 255))
    routing = RoutingOptions(mode="similarity")
    plain = stand.explain("a picture", routing=routing).domains
    read = [stand.explain("a picture", routing=routing, picture=picture).domains for picture in (black, white)]
    assert read[0] != read[1]
    assert plain not in read
    assert {"rules", "classifier", "similarity"} == set(stand.explain("a picture").sources)


def test_catalog_that_changes_is_learned_anew() -> None:
    stand = RouterStand(shapes(), make_rom("other"))
    assert "anime" not in stand.explain("1girl, solo").domains
    stand.catalog.release(anime())
    assert stand.explain("1girl, solo").decision.rom_id == "anime"


def test_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownRom):
        RouterStand(make_rom("a")).explain(model="d")


@pytest.mark.parametrize(("model", "default_rom"), [("b", None), ("auto", "b")])
def test_broken_rom_that_is_named_is_not_silently_replaced(model: str, default_rom: str | None) -> None:
    stand = RouterStand(make_rom("a"), make_rom("b"), make_rom("c"), default_rom=default_rom)
    stand.catalog.quarantine("b", "its digest is wrong")
    with pytest.raises(RomUnavailable, match="its digest is wrong"):
        stand.explain(model=model)


def test_without_any_rom_the_reasons_are_told() -> None:
    stand = RouterStand(make_rom("a"))
    stand.catalog.quarantine("a", "its digest is wrong")
    with pytest.raises(NotReady, match="a: its digest is wrong"):
        stand.explain()
    with pytest.raises(NotReady, match="no ROM"):
        RouterStand().explain()


def test_instrument_is_no_choice() -> None:
    stand = RouterStand(make_rom("clip", family="clip"), make_rom("a"))
    assert stand.explain().decision.rom_id == "a"
    with pytest.raises(InvalidRequest, match="makes no images"):
        stand.explain(model="clip")
