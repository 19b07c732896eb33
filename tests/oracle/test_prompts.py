"""Prompts that are absent, empty, too long, and long ones in chunks: against diffusers' pipelines and text encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.bench import Bench, alone, image_of, latents_of
from tests.support.pairs import Pair, Pairs, assert_near
from tests.support.tiny_models import MAX_TOKENS

FAMILIES = ["sd", "sdxl"]
ROOM = MAX_TOKENS - 2  # tokens of a chunk
WORDS = [*"abcdefghijklmnopqrstuvwxyz"] * 3  # of one token each
SHORT, LONG, LONGER = " ".join(WORDS[:5]), " ".join(WORDS[: ROOM + 6]), " ".join(WORDS[3 : 3 * ROOM])


def chunk(prompt: str, index: int) -> str:
    return " ".join(prompt.split()[ROOM * index : ROOM * (index + 1)])


def encode(pair: Pair, prompt: str | None, chunks: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Each chunk by the pipeline itself, and the prompt as a whole where the family reads it."""
    pipeline = pair.pipeline("text-to-image", "ddim")
    parts = [
        pipeline.encode_prompt(
            prompt="a" if prompt is None else chunk(prompt, index),
            negative_prompt=None,
            device="cpu",
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
        for index in range(chunks)
    ]
    pick = 0 if prompt is not None else 1  # the negative ones follow the others
    return torch.cat([part[pick] for part in parts], dim=1), parts[0][pick + 2] if len(parts[0]) > 2 else None


def in_chunks(pair: Pair, prompt: str, negative: str | None, chunks: int) -> dict[str, Any]:
    """What the pipeline takes instead of prompts."""
    embeds, pooled = encode(pair, prompt, chunks)
    negative_embeds, negative_pooled = encode(pair, negative, chunks)
    given: dict[str, Any] = {"prompt": None, "negative_prompt": None}
    given |= {"prompt_embeds": embeds, "negative_prompt_embeds": negative_embeds}
    if pooled is not None:
        given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": negative_pooled}
    return given


@pytest.mark.parametrize("negative_prompt", [None, "", "a dog"])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("rom", ["sd", "bk-sdm", "sdxl", "ssd-1b", "sdxl without zeros"])
def test_negative_prompt_is_that_of_the_pipeline(
    pairs: Pairs, rom: str, guidance_scale: float, negative_prompt: str | None
) -> None:
    pairs[rom].assert_same_latents(negative_prompt=negative_prompt, guidance_scale=guidance_scale)


def test_no_negative_prompt_differs_from_an_empty_one_where_it_is_zeroed(pairs: Pairs) -> None:
    def images(rom: str) -> set[bytes]:
        return {image_of(pairs[rom].ours(negative_prompt=negative)) for negative in (None, "")}

    assert [len(images(rom)) for rom in ("sd", "sdxl", "sdxl without zeros")] == [1, 2, 1]


@pytest.mark.parametrize("negative_prompt", ["", LONGER])
@pytest.mark.parametrize("rom", FAMILIES)
def test_prompt_that_is_too_long_is_cut_where_the_pipeline_cuts_it(
    pairs: Pairs, rom: str, negative_prompt: str
) -> None:
    asked = {"prompt": "a cat and the sea at night " * 8, "negative_prompt": negative_prompt}
    pairs[rom].assert_same_latents(**asked)
    told = [notice.param for notice in pairs[rom].ours(**asked).future.result(0).notices]
    assert told == ["prompt", "negative_prompt"][: 2 if negative_prompt else 1]


@pytest.mark.parametrize("words", [1, ROOM])
@pytest.mark.parametrize("rom", FAMILIES)
def test_prompt_that_fits_is_the_same_in_chunks(pairs: Pairs, rom: str, words: int) -> None:
    asked = {"prompt": " ".join(WORDS[:words])}
    cut, chunked = (pairs[rom].ours(**asked, long_prompts=how) for how in ("truncate", "chunk"))
    assert image_of(cut) == image_of(chunked)


@pytest.mark.parametrize(
    ("prompt", "negative", "chunks"),
    [(LONG, "a dog", 2), (LONG, None, 2), (LONG, LONGER, 3), (SHORT, LONG, 2), (LONGER, "", 3)],
    ids=["long", "long without negative", "longer negative", "long negative alone", "three chunks"],
)
@pytest.mark.parametrize("rom", [*FAMILIES, "sd-text", "sdxl without zeros"])
def test_long_prompt_is_its_chunks_side_by_side(
    pairs: Pairs, rom: str, prompt: str, negative: str | None, chunks: int
) -> None:
    pair = pairs[rom]
    state = pair.ours(prompt=prompt, negative_prompt=negative, long_prompts="chunk")
    zeroed = negative is None and rom == "sdxl"
    oracle = in_chunks(pair, prompt, None if zeroed else negative or "", chunks)
    assert state.future.result(0).notices == ()
    assert_near(latents_of(state), pair.theirs("latent", **oracle))


@pytest.mark.parametrize("rom", FAMILIES)
def test_what_does_not_fit_into_four_chunks_is_told(pairs: Pairs, rom: str) -> None:
    fits, over = " ".join(WORDS[: 4 * ROOM]), " ".join(WORDS[: 4 * ROOM + 3])
    state = pairs[rom].ours(prompt=over, negative_prompt="", long_prompts="chunk")
    (notice,) = state.future.result(0).notices
    assert (notice.code, notice.param) == ("truncated", "prompt")
    assert notice.detail.endswith(": " + " ".join(WORDS[4 * ROOM : 4 * ROOM + 3]))
    assert image_of(state) == image_of(pairs[rom].ours(prompt=fits, negative_prompt="", long_prompts="chunk"))


@pytest.mark.parametrize("rom", FAMILIES)
def test_negative_prompt_without_effect_does_not_make_the_other_longer(pairs: Pairs, rom: str) -> None:
    asked = {"prompt": SHORT, "guidance_scale": 1.0, "long_prompts": "chunk"}
    long, none = (pairs[rom].ours(**asked, negative_prompt=negative) for negative in (LONG, None))
    assert image_of(long) == image_of(none)


@pytest.mark.parametrize("rom", FAMILIES)
def test_long_and_short_prompts_are_as_they_are_alone(pairs: Pairs, rom: str) -> None:
    backend = pairs[rom].backend
    asks: list[dict[str, Any]] = [
        {"prompt": LONG, "long_prompts": "chunk", "guidance_scale": 3.0, "negative_prompt": None},
        {"prompt": SHORT, "long_prompts": "chunk", "guidance_scale": 4.0},
        {"prompt": LONGER, "long_prompts": "truncate"},
    ]
    bench = Bench(max_batch_size=16)
    states = [bench.submit(backend, **asked) for asked in asks]
    bench.run()
    assert set(bench.log.rows) == {2, 3}  # the long one by itself, the others together
    for state, asked in zip(states, asks, strict=True):
        assert_near(latents_of(state), latents_of(alone(backend, **asked)))
