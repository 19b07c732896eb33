"""Domains: what is drawn and what is said must be what the facts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from transformers import CLIPTokenizer

from training.domains.digits import DigitsDomain
from training.domains.domain import Domain, ReadableDomain
from training.domains.shapes import ShapesDomain
from training.domains.sketch import SketchDomain
from training.handwriting import samples
from training.number_captions import NAMES, full_number_caption
from training.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE
from training.tokenizer import MAX_LENGTH, train_tokenizer
from training.written_numbers import BOARDS, CHALKS, INKS, PAPERS, NumberSpec

SHAPES_TOKENIZER = Path(__file__).resolve().parents[3] / "model_store" / "shapes" / "tokenizer"
DOMAINS: tuple[Domain[Any], ...] = (ShapesDomain(), SketchDomain(), DigitsDomain())
READABLE: tuple[ReadableDomain[Any], ...] = (ShapesDomain(), DigitsDomain())
every_domain = pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
every_readable_domain = pytest.mark.parametrize("domain", READABLE, ids=lambda domain: domain.name)


def random_specs(domain: Domain[Any], count: int) -> list[Any]:
    rng = np.random.default_rng(11)
    return [domain.random_spec(rng) for _ in range(count)]


def far_from(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels have another colour, bool [H, W]."""
    return np.asarray(np.abs(image.astype(int) - colour).max(axis=2) > 40)


def dominant(colours: np.ndarray) -> tuple[int, ...]:
    values, counts = np.unique(colours.reshape(-1, 3), axis=0, return_counts=True)
    return tuple(int(level) for level in values[counts.argmax()])


@every_domain
def test_images_are_of_one_kind_and_follow_the_generator(domain: Domain[Any]) -> None:
    for spec in random_specs(domain, 10):
        image, same = (domain.image(spec, np.random.default_rng(4)) for _ in range(2))
        assert image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and image.dtype == np.uint8
        assert np.array_equal(image, same)
        assert not np.array_equal(image, domain.image(spec, np.random.default_rng(5)))


@every_domain
def test_the_page_has_its_colour(domain: Domain[Any]) -> None:
    pages = BACKGROUNDS | PAPERS | BOARDS if domain.name == "digits" else BACKGROUNDS
    rng = np.random.default_rng(7)
    for spec in random_specs(domain, 40):
        facts = domain.facts(spec)
        assert dominant(domain.image(spec, rng)) == pages[facts.get("paper") or facts["background"]]


@pytest.mark.parametrize("domain", DOMAINS[:2], ids=lambda domain: domain.name)
def test_scenes_show_as_many_objects_as_their_facts_say_in_their_colours(domain: Domain[Any]) -> None:
    rng = np.random.default_rng(8)
    for spec in random_specs(domain, 40):
        facts, image = domain.facts(spec), domain.image(spec, rng)
        drawn = ndimage.binary_fill_holes(far_from(image, BACKGROUNDS[facts["background"]]))
        assert ndimage.label(drawn)[1] == int(facts["count"])
        for key in {"colour", "second colour"} & facts.keys():
            assert (image == COLOURS[facts[key]]).all(axis=2).any()


def test_flat_shapes_are_filled_and_sketches_hatched() -> None:
    for spec in random_specs(ShapesDomain(), 40):
        images = (domain.image(spec, np.random.default_rng(9)) for domain in DOMAINS[:2])  # placed alike
        flat, sketch = ((image == COLOURS[spec.objects[0].colour]).all(axis=2).sum() for image in images)
        assert 0.1 * flat < sketch < 0.7 * flat


def test_a_sketch_says_so_and_says_what_it_shows() -> None:
    rng, domain = np.random.default_rng(10), SketchDomain()
    for spec in random_specs(domain, 200):
        caption = domain.caption(spec, rng).lower()
        assert any(word in caption for word in ("ink", "hatched", "sketch"))
        assert caption.count("drawing") + caption.count("sketch") <= 1
        assert "photo" not in caption and "flat design" not in caption
        assert domain.facts(spec)["style"] == "ink"


def test_numbers_are_written_in_their_ink() -> None:
    rng, domain = np.random.default_rng(12), DigitsDomain()
    for spec in random_specs(domain, 60):
        facts, image = domain.facts(spec), domain.image(spec, rng)
        written = far_from(image, (PAPERS | BOARDS)[facts["paper"]])
        assert dominant(image[written]) == (INKS | CHALKS)[facts["ink"]]
        assert not written[0].any() and not written[:, 0].any() and not written[-1].any() and not written[:, -1].any()


@pytest.mark.parametrize("digits", ["0", "1", "00", "11", "000", "111"])
def test_every_digit_is_a_stroke_or_two_of_its_own(digits: str) -> None:
    """Ones and zeros are written without lifting the pen."""
    rng, domain = np.random.default_rng(13), DigitsDomain()
    spec = NumberSpec(digits, "black", "white")
    strokes = [ndimage.label(far_from(domain.image(spec, rng), PAPERS["white"]))[1] for _ in range(40)]
    assert np.mean([number == len(digits) for number in strokes]) > 0.8


def test_held_out_hands_write_every_digit_and_are_no_training_hands() -> None:
    for digit in "0123456789":
        seen, held_out = ({image.tobytes() for image in samples(digit, kept)} for kept in (False, True))
        assert len(seen) > 100 and len(held_out) > 30
        assert not seen & held_out


def test_a_domain_of_held_out_hands_draws_other_images() -> None:
    spec = NumberSpec("47", "blue", "cream")
    seen, held_out = (DigitsDomain(kept).image(spec, np.random.default_rng(1)) for kept in (False, True))
    assert not np.array_equal(seen, held_out)


def test_a_full_number_caption_names_digits_ink_and_paper() -> None:
    rng = np.random.default_rng(14)
    for spec in random_specs(DigitsDomain(), 300):
        text = full_number_caption(spec, rng).text.lower().replace("gray", "grey")
        assert spec.paper in text
        assert spec.ink in text or (spec.ink == "white" and "chalk" in text)
        written = "".join(character for character in text if character.isdigit())
        named = [name for name in text.replace(",", " ").split() if name in NAMES]
        is_word = len(spec.digits) == 2 and not written and not named
        assert is_word or spec.digits in (written, "".join(str(NAMES.index(name)) for name in named))


@every_readable_domain
def test_readings_answer_every_question_with_a_known_answer(domain: ReadableDomain[Any]) -> None:
    rng = np.random.default_rng(15)
    questions = [answers for role in domain.roles for answers in role]
    for spec in random_specs(domain, 200):
        for answers, answer in zip(questions, domain.read(spec, rng).answers, strict=True):
            assert answer in answers


def test_readings_tell_what_the_facts_are() -> None:
    rng = np.random.default_rng(16)
    for spec in random_specs(DigitsDomain(), 200):
        *digits, ink, paper, count = DigitsDomain().read(spec, rng).answers
        facts = DigitsDomain().facts(spec)
        assert "".join(digit for digit in digits if digit != "absent") == facts["digits"]
        assert ink in (facts["ink"], "unsaid") and paper in (facts["paper"], "unsaid") and count == facts["length"]


@every_domain
def test_captions_fit_the_text_encoder(domain: Domain[Any], tmp_path: Path) -> None:
    if domain.name == "sketch":  # it has the tokenizer of shapes
        tokenizer = CLIPTokenizer.from_pretrained(SHAPES_TOKENIZER)
    else:
        tokenizer = train_tokenizer(domain, 3000, 0, tmp_path)
    rng = np.random.default_rng(17)
    captions = [domain.caption(spec, rng) for spec in random_specs(domain, 1500)]
    assert max(len(tokenizer(caption).input_ids) for caption in captions) <= MAX_LENGTH
