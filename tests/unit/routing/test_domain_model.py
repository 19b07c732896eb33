"""What a prompt is read as: domains, reasons, doubts - from all sources together and from each by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.roms.manifest import RomManifest
from app.routing.domain_model import MODES, MOST_READ, DomainModel, Mode
from tests.support.domains import BACKGROUND, bag_of_letters, fruit_and_trains, manifest

TABLE = (
    ("ripe pears on a plate", "fruit"),
    ("a lemon beside two strawberries", "fruit"),
    ("bananna and aplles", "fruit"),
    ("an old steam locomotive", "trains"),
    ("the railway in winter", "trains"),
    ("a tram at the stations", "trains"),
)
OUTSIDE = ("what is the square root of nine", "write a poem about a sentence", "who won yesterday")


@pytest.fixture(scope="module")
def model() -> DomainModel:
    return DomainModel.fit(fruit_and_trains(), embed=bag_of_letters, background=BACKGROUND)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("prompt", "domain"), TABLE)
def test_every_source_finds_the_domain(model: DomainModel, mode: Mode, prompt: str, domain: str) -> None:
    assert model.read(prompt, mode).best == domain


@pytest.mark.parametrize("prompt", OUTSIDE)
def test_what_is_no_picture_is_out_of_domain(model: DomainModel, prompt: str) -> None:
    assert model.read(prompt).is_out_of_domain
    assert model.read(prompt).out_of_domain > 0.5


def test_a_vector_holds_together(model: DomainModel) -> None:
    read = model.read("a banana in a train")
    assert sum(read.probabilities.values()) == pytest.approx(1.0)
    assert list(read.probabilities) == ["fruit", "trains"]
    assert read.confidence == max(read.probabilities.values())
    assert read.margin == pytest.approx(abs(read.probabilities["fruit"] - read.probabilities["trains"]))
    assert set(read.sources) == {"rules", "classifier", "similarity"}
    for source in read.sources.values():
        assert sum(source.values()) == pytest.approx(1.0)
    assert {rule.domain for rule in read.fired} == {"fruit", "trains"}


def test_a_prompt_of_both_is_less_certain_than_one_of_one(model: DomainModel) -> None:
    clear, mixed = model.read("a bowl of ripe apples"), model.read("apples in a locomotive")
    assert not clear.is_uncertain
    assert mixed.margin < clear.margin


def test_a_mode_asks_its_source_alone(model: DomainModel) -> None:
    assert set(model.read("a pear", "rules").sources) == {"rules"}
    assert set(model.read("a pear", "auto").sources) == {"rules", "classifier", "similarity"}


def test_similarity_needs_an_embedding() -> None:
    without = DomainModel.fit(fruit_and_trains(), background=BACKGROUND)
    assert without.modes == ("auto", "rules", "classifier")
    with pytest.raises(ValueError, match=r"similarity.*auto, rules, classifier"):
        without.read("a pear", "similarity")


def test_weights_decide_who_is_heard() -> None:
    weights = {"rules": 1.0, "classifier": 0.0}
    read = DomainModel.fit(fruit_and_trains(), weights, background=BACKGROUND).read("a tram in a bowl of apples")
    assert read.probabilities == pytest.approx(read.sources["rules"])


def test_where_what_has_weight_is_not_there_the_others_are_heard() -> None:
    roms = fruit_and_trains()
    waiting = DomainModel.fit(roms, {"similarity": 1.0}, background=BACKGROUND)
    even = DomainModel.fit(roms, {"rules": 1.0, "classifier": 1.0}, background=BACKGROUND)
    assert waiting.read("a pear in a train") == even.read("a pear in a train")


def test_several_prompts_are_read_as_one(model: DomainModel) -> None:
    twice = model.read(("a ripe banana", "a ripe banana"))
    assert twice.probabilities == pytest.approx(model.read("a ripe banana").probabilities)
    majority = model.read(("a ripe banana", "two pears", "a train"))
    assert majority.best == "fruit"
    alone, mixed = model.read("a ripe banana"), model.read(("a ripe banana", "a train"))
    assert mixed.probabilities["fruit"] < alone.probabilities["fruit"]
    assert {rule.domain for rule in mixed.fired} == {"fruit", "trains"}


@pytest.mark.parametrize("prompt", ["", (), "   ", "🍌🍌🍌", "\x00", "a" * 100_000, "--"])
def test_whatever_is_written_is_read(model: DomainModel, prompt: str | tuple[str, ...]) -> None:
    read = model.read(prompt)
    assert sum(read.probabilities.values()) == pytest.approx(1.0)
    assert 0 <= read.out_of_domain <= 1


def test_what_is_far_down_in_a_prompt_is_not_read(model: DomainModel) -> None:
    assert not model.read("a" * MOST_READ + " banana").fired


def test_the_same_catalog_gives_the_same_model(model: DomainModel) -> None:
    again = DomainModel.fit(fruit_and_trains(), embed=bag_of_letters, background=BACKGROUND)
    for prompt, _ in TABLE:
        assert model.read(prompt) == again.read(prompt)


def test_threads_may_share_a_model(model: DomainModel) -> None:
    prompts = [prompt for prompt, _ in TABLE] * 20
    alone = [model.read(prompt) for prompt in prompts]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(model.read, prompts)) == alone


def test_one_domain_is_always_the_best_but_not_always_meant() -> None:
    only = {rom_id: one for rom_id, one in fruit_and_trains().items() if rom_id != "trains"}
    model = DomainModel.fit(only, background=BACKGROUND)
    inside, outside = model.read("a ripe banana"), model.read("what is the capital of spain")
    assert inside.probabilities == outside.probabilities == {"fruit": 1.0}
    assert inside.margin == 1.0 and not inside.is_uncertain
    assert outside.is_out_of_domain and not inside.is_out_of_domain


def test_a_rom_that_says_nothing_of_itself_is_known_by_its_title() -> None:
    plain = RomManifest(id="cats", title="Photographs of cats and kittens")
    model = DomainModel.fit({**fruit_and_trains(), "cats": plain}, background=BACKGROUND)
    assert model.read("photographs of kittens", "classifier").best == "cats"
    assert model.read("a ripe banana").best == "fruit"


def test_pictures_of_other_kinds_are_out_of_domain_unless_a_domain_takes_them() -> None:
    roms = fruit_and_trains()
    general = manifest(
        "any", "general", examples=("a photo of a dog", "a castle at night", "portrait of a man", "a city by the sea")
    )
    prompt = "portrait of an old woman in a red coat"
    assert DomainModel.fit(roms).read(prompt).is_out_of_domain
    read = DomainModel.fit({**roms, "any": general}).read(prompt)
    assert read.best == "general" and not read.is_out_of_domain


def test_no_roms_are_refused() -> None:
    with pytest.raises(ValueError, match="no ROMs"):
        DomainModel.fit({})


def test_a_decision_takes_less_than_a_millisecond() -> None:
    model = DomainModel.fit(fruit_and_trains())
    times = []
    for prompt, _ in TABLE * 30:
        started = time.perf_counter()
        model.read(prompt)
        times.append(time.perf_counter() - started)
    assert min(times) < 1e-3


@pytest.mark.parametrize("module", ["app.routing.domain_model", "app.cli.main", "app.api"])
def test_importing_loads_no_learning_library(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
