"""The backend without weights keeps its word: every prompt, seed and size has its own picture."""

from __future__ import annotations

import pytest

from app.backends.fake import FakeBackend
from tests.support.bench import alone

GUIDANCE = [1.0, 7.5, 20.0]


def pictures(**asked: object) -> list[bytes]:
    return [image.tobytes() for image in alone(FakeBackend(), width=64, height=64, **asked).future.result(0).images]


@pytest.mark.parametrize("guidance_scale", GUIDANCE)
def test_every_seed_has_its_own_picture(guidance_scale: float) -> None:
    for prompt in ("a lighthouse", "a cat", ""):
        assert len(set(pictures(prompt=prompt, guidance_scale=guidance_scale, seeds=tuple(range(8))))) == 8


@pytest.mark.parametrize("guidance_scale", GUIDANCE)
def test_every_prompt_has_its_own_picture(guidance_scale: float) -> None:
    prompts = [f"prompt {index}" for index in range(20)]
    assert len({pictures(prompt=prompt, guidance_scale=guidance_scale)[0] for prompt in prompts}) == 20


def test_negative_prompt_matters_with_guidance_and_only_then() -> None:
    assert pictures(negative_prompt="grey", guidance_scale=5.0) != pictures(guidance_scale=5.0)
    assert pictures(negative_prompt="grey", guidance_scale=1.0) == pictures(guidance_scale=1.0)
