"""Prompts are encoded once, as long as there is room and their model stays loaded."""

from __future__ import annotations

from typing import Any

import torch

from app.backends.base import Conditioning
from app.backends.fake import FakeBackend
from app.engine.embeddings import PromptEncoder
from tests.support.bench import Bench, image_of


class CountingBackend(FakeBackend):
    """Writes down what it is asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts: list[str | None] = []

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        self.prompts.append(prompt)
        return super().encode_prompt(prompt, chunks)


def test_prompt_that_comes_again_is_not_encoded_again() -> None:
    bench, backend = Bench(), CountingBackend()
    asked: dict[str, Any] = {"prompt": "a cat", "negative_prompt": "grey", "guidance_scale": 3.0}
    first, second = (bench.submit(backend, **asked) for _ in range(2))
    bench.run()
    assert backend.prompts == ["a cat", "grey"]
    assert image_of(first) == image_of(second)


def test_what_did_not_fit_is_told_each_time() -> None:
    bench = Bench()
    states = [bench.submit(CountingBackend(), prompt="word " * 100) for _ in range(2)]
    bench.run()
    assert [[notice.code for notice in state.future.result(0).notices] for state in states] == [["truncated"]] * 2


def test_models_do_not_share_what_they_encoded() -> None:
    encoder, one, other = PromptEncoder(), CountingBackend(), CountingBackend()
    for backend in (one, other, one):
        encoder.encode(backend, "a cat")
    assert (one.prompts, other.prompts) == (["a cat"], ["a cat"])


def test_least_recently_asked_gives_way_where_room_is_short() -> None:
    backend = CountingBackend()
    encoder = PromptEncoder(max_bytes=2 * (backend.encode_prompt("a").nbytes + 1))
    backend.prompts.clear()
    for prompt in "abacab":
        encoder.encode(backend, prompt)
    assert backend.prompts == ["a", "b", "c", "b"]


def test_model_that_was_loaded_again_encodes_anew() -> None:
    encoder = PromptEncoder()
    for number in range(3):
        backend = CountingBackend()
        encoder.encode(backend, f"prompt {number}")
        embeds = encoder.encode(backend, "a cat").prompt_embeds
        assert backend.prompts == [f"prompt {number}", "a cat"]
        assert torch.equal(embeds, FakeBackend().encode_prompt("a cat").prompt_embeds)
