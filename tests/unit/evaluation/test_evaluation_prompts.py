from __future__ import annotations

import numpy as np

from evaluation.prompts import prompt_sets, prompts_of
from evaluation.subjects.embedded import DIGITS, SUBJECTS
from training.scenes import held_out_combinations


def test_sets_have_their_sizes_and_kinds() -> None:
    sets = prompt_sets()
    sizes = {name: len(prompts) for name, prompts in sets.items()}
    assert sizes == {"one object": 128, "two objects": 128, "held out": 128, "several alike": 64}
    assert all(len(p.spec.objects) == 1 and p.spec.count == 1 for p in sets["one object"] + sets["held out"])
    assert all(len(p.spec.objects) == 2 and p.spec.relation for p in sets["two objects"])
    assert {p.spec.count for p in sets["several alike"]} == {2, 3, 4}


def test_only_the_held_out_set_is_held_out() -> None:
    for name, prompts in prompt_sets().items():
        assert all(prompt.spec.is_held_out() == (name == "held out") for prompt in prompts)


def test_every_held_out_combination_is_asked_before_any_is_repeated() -> None:
    combinations = held_out_combinations()
    asked = [(p.spec.objects[0].shape, p.spec.objects[0].colour, p.spec.background) for p in prompts_of("held out")]
    assert set(asked[: len(combinations)]) == set(combinations)


def test_prompts_repeat_themselves_and_start_alike_whatever_their_number() -> None:
    assert prompt_sets() == prompt_sets()
    assert prompts_of("two objects", 8) == prompt_sets()["two objects"][:8]


def test_captions_name_everything() -> None:
    for prompt in prompt_sets()["one object"]:
        assert prompt.spec.objects[0].colour in prompt.text.lower()


def test_seeds_differ() -> None:
    seeds = [prompt.seed for prompts in prompt_sets().values() for prompt in prompts]
    assert len(set(seeds)) == len(seeds)


def test_numbers_are_asked_for_by_their_length() -> None:
    sets = prompt_sets(DIGITS)
    assert [{len(prompt.spec.digits) for prompt in prompts} for prompts in sets.values()] == [{1}, {2}, {3}]
    assert {len(prompts) for prompts in sets.values()} == {128}


def test_every_subject_judges_what_it_draws_itself_to_be_right() -> None:
    rng = np.random.default_rng(3)
    for name, subject in SUBJECTS.items():
        prompts = [prompt for kind in subject.kinds for prompt in prompts_of(kind, 12, subject)]
        right = [subject.judge(prompt.spec, subject.draw(prompt.spec, rng)).all_right for prompt in prompts]
        assert np.mean(right) > 0.8, name
