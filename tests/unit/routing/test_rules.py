"""Rules fire to the degree that a person would compute by hand."""

from __future__ import annotations

import pytest

from app.roms.domain import Domain, Rule
from app.roms.manifest import RomManifest
from app.routing.rules import FiredRule, RuleBook
from tests.support.domains import manifest


def degree(one: RomManifest, prompt: str) -> float:
    book = RuleBook({one.id: one})
    return float(book.degrees(book.fire(prompt))[0])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("nothing of it", 0.0),
        ("a circle", 0.5),
        ("a circle and two circles", 0.5),
        ("a circle in a square", 1 - 0.5 * 0.5),
        ("a flat circle", 1 - 0.5 * 0.4),
        ("a cirlce", 0.5 * 0.8),
        ("a photograph", -0.5),
        ("a photograph of a flat circle", (1 - 0.5 * 0.4) - 0.5),
    ],
)
def test_words_add_up_as_probabilities_and_are_taken_away_likewise(prompt: str, expected: float) -> None:
    one = manifest("shapes", keywords=("circle", "square"), styles=("flat",), avoid=("photograph",))
    assert degree(one, prompt) == pytest.approx(expected)


def test_a_word_that_is_keyword_and_style_counts_once_as_a_style() -> None:
    one = manifest("sketch", keywords=("hatched", "hatching"), styles=("hatched",))
    assert degree(one, "hatched") == pytest.approx(0.6)


def test_a_trigger_word_decides() -> None:
    one = RomManifest(id="mj", trigger_words=("mdjrny-v4 style",), domain=Domain(avoid=("bowl",)))
    assert degree(one, "a bowl, MDJRNY-v4 style") == pytest.approx(0.5)
    assert degree(one, "mdjrny-v4 style fox") == 1.0


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("1girl, solo, long hair", 0.9),
        ("1girl, solo, a castle", 0.9 * 2 / 3),
        ("(1girl:1.2), [solo], LONG_HAIR, castle", 0.9 * 3 / 4),
        ("a castle on a hill", 0.0),
        ("1girl with a solo castle", 0.0),
        (",,,", 0.0),
    ],
)
def test_a_grammar_fires_to_the_share_of_tags(prompt: str, expected: float) -> None:
    tags = Rule(name="tags", tags=("1girl", "solo", "long hair"), degree=0.9)
    assert degree(manifest("anime", rules=(tags,)), prompt) == pytest.approx(expected)


def test_patterns_are_found_in_any_case_and_may_speak_against() -> None:
    rules = (
        Rule(name="flags", pattern=r"--ar \d+:\d+", degree=0.9),
        Rule(name="questions", pattern=r"^what\b", degree=0.4, against=True),
    )
    one = manifest("mj", rules=rules)
    assert degree(one, "castle --AR 16:9") == pytest.approx(0.9)
    assert degree(one, "What is --ar 16:9") == pytest.approx(0.5)


def test_the_reason_names_what_fired() -> None:
    rule = Rule(name="a coloured shape", pattern="red circle", degree=0.8)
    book = RuleBook({"shapes": manifest("shapes", keywords=("circle",), rules=(rule,))})
    assert book.fire("a red circle") == [
        FiredRule("shapes", ("shapes",), 'keyword "circle"', 0.5),
        FiredRule("shapes", ("shapes",), "a coloured shape", 0.8),
    ]


def test_twins_share_words_but_each_has_its_own_rules() -> None:
    rule = Rule(name="in a hurry", pattern="quick", degree=0.6)
    book = RuleBook(
        {
            "slow": manifest("slow", "shapes", keywords=("circle",)),
            "other": manifest("other", keywords=("circle",)),
            "fast": manifest("fast", "shapes", keywords=("square",), rules=(rule,)),
        }
    )
    assert book.domains == ("shapes", "other")
    fired = {rule.name: rule.rom_ids for rule in book.fire("a quick circle in a square") if rule.domain == "shapes"}
    assert fired == {
        'keyword "circle"': ("slow", "fast"),
        'keyword "square"': ("slow", "fast"),
        "in a hurry": ("fast",),
    }
    shapes, other = book.degrees(book.fire("a quick circle"))
    assert shapes == pytest.approx(1 - 0.5 * 0.4)  # the better of the twins
    assert other == pytest.approx(0.5)


def test_a_rule_that_twins_have_in_common_fires_once() -> None:
    rule = Rule(name="rule", pattern="red", degree=0.5)
    roms = {name: manifest(name, "shapes", rules=(rule,)) for name in ("one", "two")}
    assert RuleBook(roms).fire("red") == [FiredRule("shapes", ("one", "two"), "rule", 0.5)]


def test_reading_leaves_no_trace() -> None:
    book = RuleBook({"shapes": manifest("shapes", keywords=("circle", "square"), avoid=("cat",))})
    before = book.fire("a circle")
    for prompt in ("a square cat", "", "cirlce", "unknown wordss"):
        book.fire(prompt)
    assert book.fire("a circle") == before
