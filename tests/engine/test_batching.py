"""Company changes nothing: a batch is a view of rows that each go their own way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.core import SCHEDULERS
from app.engine.state import RequestState
from tests.support.backends import WatchedBackend
from tests.support.bench import Bench, alone, image_of, latents_of
from tests.support.params import make_params

TOLERANCE = 1e-5  # of the latents' scale; a convolution rounds differently in a larger batch
STRANGERS: list[dict[str, Any]] = [
    {"prompt": "a stranger", "num_inference_steps": 9, "scheduler": "euler_ancestral", "guidance_scale": 3.0},
    {"prompt": "another", "num_inference_steps": 2, "scheduler": "ddpm", "seeds": (7,)},
    {"prompt": "a third", "num_inference_steps": 5, "scheduler": "euler", "guidance_scale": 9.0, "seeds": (1, 2)},
    {"prompt": "a fourth", "num_inference_steps": 3, "scheduler": "dpmpp_2m"},
    {"prompt": "a fifth", "num_inference_steps": 7, "scheduler": "ddim", "guidance_scale": 7.5, "seeds": (100,)},
    {"prompt": "a sixth", "num_inference_steps": 1, "scheduler": "euler"},
    {"prompt": "a seventh", "num_inference_steps": 6, "scheduler": "ddpm", "negative_prompt": "grey"},
]


def in_a_crowd(backend: Backend, max_batch_size: int, **asked: Any) -> RequestState:
    """The same request among seven strangers, who come before it, with it and after it."""
    bench = Bench(max_batch_size)
    for stranger in STRANGERS[:3]:
        bench.submit(backend, **stranger)
    bench.tick()
    bench.submit(backend, **STRANGERS[3])
    state = bench.submit(backend, **asked)
    bench.tick()
    for stranger in STRANGERS[4:]:
        bench.submit(backend, **stranger)
        bench.tick()
    bench.run()
    assert max(bench.log.rows) > 1, "nobody ever shared a forward"
    return state


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_request_in_a_crowd_is_the_request_alone(scheduler: str, guidance_scale: float) -> None:
    asked = {"scheduler": scheduler, "guidance_scale": guidance_scale, "num_inference_steps": 6, "seeds": (3, 4)}
    crowd, solitude = in_a_crowd(FakeBackend(), 8, **asked), alone(FakeBackend(), **asked)
    assert torch.equal(latents_of(crowd), latents_of(solitude))
    np.testing.assert_array_equal(crowd.future.result().images, solitude.future.result().images)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_real_model_draws_the_same_in_a_crowd(tiny_backend: Backend, scheduler: str, guidance_scale: float) -> None:
    asked = {"scheduler": scheduler, "guidance_scale": guidance_scale, "num_inference_steps": 4}
    crowd = latents_of(in_a_crowd(tiny_backend, 8, **asked))
    solitude = latents_of(alone(tiny_backend, **asked))
    assert float((crowd - solitude).abs().max()) <= TOLERANCE * float(solitude.abs().max())


@pytest.mark.parametrize("max_batch_size", [1, 3, 5])
def test_size_of_batches_does_not_change_an_image(max_batch_size: int) -> None:
    asked: dict[str, Any] = {"scheduler": "euler_ancestral", "num_inference_steps": 5, "seeds": (3, 4, 5)}
    bench = Bench(max_batch_size)
    states = [bench.submit(FakeBackend(), **asked) for _ in range(2)]
    bench.run()
    expected = latents_of(alone(FakeBackend(), **asked))
    assert all(torch.equal(latents_of(state), expected) for state in states)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_each_image_is_that_of_its_own_seed_alone(scheduler: str) -> None:
    asked = {"scheduler": scheduler, "guidance_scale": 4.0}
    together = alone(FakeBackend(), seeds=(40, 41, 42), **asked).future.result().images
    for index, seed in enumerate((40, 41, 42)):
        np.testing.assert_array_equal(
            together[index], alone(FakeBackend(), seeds=(seed,), **asked).future.result().images[0]
        )


def test_guidance_counts_inside_its_interval_alone() -> None:
    asked: dict[str, Any] = {"negative_prompt": "grey", "num_inference_steps": 4, "scheduler": "euler"}
    bench, backend = Bench(), FakeBackend()
    state = bench.submit(backend, guidance_scale=6.0, guidance_interval=(0.5, 1.0), **asked)
    unguided = bench.submit(backend, guidance_scale=1.0, **asked)
    bench.tick(2)
    assert torch.equal(latents_of(state), latents_of(unguided))
    bench.tick(1)
    assert not torch.equal(latents_of(state), latents_of(unguided))


def test_guidance_over_all_steps_is_guidance_without_an_interval() -> None:
    asked: dict[str, Any] = {"negative_prompt": "grey", "guidance_scale": 6.0}
    assert image_of(alone(FakeBackend(), guidance_interval=(0.0, 1.0), **asked)) == image_of(
        alone(FakeBackend(), **asked)
    )


def test_interval_of_a_redrawn_image_counts_the_steps_it_left_out() -> None:
    params = make_params(guidance_scale=6.0, num_inference_steps=10, strength=0.5, guidance_interval=(0.0, 0.7))
    assert [params.is_guided(step) for step in range(5)] == [True, True, False, False, False]


def test_each_of_several_prompts_gets_its_own_images() -> None:
    asked: dict[str, Any] = {"guidance_scale": 4.0, "num_inference_steps": 5}
    prompts, seeds = ("a cat", "the sea", "a cat"), (40, 41, 42, 43, 44, 45)
    together = alone(FakeBackend(), prompt=prompts, seeds=seeds, **asked).future.result().images
    for index, seed in enumerate(seeds):
        single = alone(FakeBackend(), prompt=prompts[index // 2], seeds=(seed,), **asked)
        np.testing.assert_array_equal(together[index], single.future.result().images[0])


def test_seeds_give_different_images() -> None:
    images = alone(FakeBackend(), seeds=(40, 41, 42)).future.result().images
    assert len({image.tobytes() for image in images}) == 3


def test_guided_row_is_in_the_forward_twice_and_an_unguided_one_once() -> None:
    backend = WatchedBackend(FakeBackend())
    bench = Bench()
    guided: dict[str, Any] = {"prompt": "guided", "negative_prompt": "not this", "guidance_scale": 6.0, "seeds": (1, 2)}
    bench.submit(backend, **guided)
    bench.submit(backend, prompt="unguided", guidance_scale=1.0)
    bench.tick()
    (forward,) = backend.forwards
    embeds = {text: backend.encode_prompt(text).prompt_embeds for text in ("guided", "not this", "unguided")}
    seen = [name for row in forward.prompts for name, value in embeds.items() if torch.equal(row.prompt_embeds, value)]
    assert sorted(seen) == ["guided", "guided", "not this", "not this", "unguided"]


def test_both_halves_of_a_guided_row_are_the_same_moment() -> None:
    backend = WatchedBackend(FakeBackend())
    bench = Bench()
    bench.submit(backend, guidance_scale=6.0, num_inference_steps=5, scheduler="euler")
    bench.tick(3)
    for forward in backend.forwards:
        assert torch.equal(forward.latents[0], forward.latents[1])
        assert forward.timestep[0] == forward.timestep[1]


def test_rows_at_different_steps_share_a_forward() -> None:
    backend = WatchedBackend(FakeBackend())
    bench = Bench()
    bench.submit(backend, num_inference_steps=10)
    bench.tick(2)
    bench.submit(backend, num_inference_steps=10)
    bench.tick()
    assert len(set(backend.forwards[-1].timestep.tolist())) == 2


@pytest.mark.parametrize(
    "differently",
    [
        {"scheduler": "euler"},
        {"num_inference_steps": 9},
        {"guidance_scale": 7.5},
        {"seeds": (99,)},
        {"prompt": "a cat"},
    ],
    ids=lambda differently: next(iter(differently)),
)
def test_rows_that_differ_in_anything_but_size_share_a_forward(differently: dict[str, Any]) -> None:
    bench, backend = Bench(), FakeBackend()
    one, other = bench.submit(backend), bench.submit(backend, **differently)
    bench.tick()
    assert (one.completed_steps, other.completed_steps) == (1, 1)


def test_sizes_do_not_share_a_forward_and_all_get_their_image() -> None:
    backend, bench = WatchedBackend(FakeBackend()), Bench()
    sizes = [(16, 16), (24, 16), (16, 24)]
    states = [bench.submit(backend, width=width, height=height) for width, height in sizes]
    bench.run()
    assert all(len(forward) == 1 for forward in backend.forwards)
    for state, (width, height) in zip(states, sizes, strict=True):
        assert state.future.result().images[0].shape == (height, width, 3)


def test_finished_request_leaves_and_the_others_go_on_without_it() -> None:
    bench, backend = Bench(), FakeBackend()
    short, long = bench.submit(backend, num_inference_steps=2), bench.submit(backend, num_inference_steps=4)
    bench.tick(2)
    assert short.future.done()
    assert not long.future.done()
    bench.run()
    assert bench.log.rows == [2, 2, 1, 1]


def test_times_add_up_from_the_moment_of_submission() -> None:
    bench = Bench()
    state = bench.submit(FakeBackend(), num_inference_steps=2)
    bench.clock.advance(3)
    bench.tick()
    bench.clock.advance(1.5)
    bench.tick()
    result = state.future.result()
    assert result.queue_s == 3
    assert result.denoise_s + result.encode_s == pytest.approx(1.5)
