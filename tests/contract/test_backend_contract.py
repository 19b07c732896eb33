"""What every backend promises the engine, whatever is behind it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.backends.base import Backend
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.core import SCHEDULERS
from app.roms.catalog import read_rom
from tests.support.forwards import CPU_OPTIMIZATIONS, PROMPTS, ROWS, SIDE, Inputs, near
from tests.support.tiny_roms import TinyRoms

REPOSITORY = Path(__file__).parent.parent.parent
FAKE = pytest.param(("fake", ()), id="fake")
OPENVINO = pytest.param(("sd", None), id="openvino")
REAL = [  # with nothing done to make them fast, and with all that may be done on a CPU
    pytest.param((rom, optimizations), id=f"{rom}{' optimized' if optimizations else ''}")
    for rom in ("sd", "sd v_prediction", "bk-sdm", "sdxl", "ssd-1b")
    for optimizations in ((), CPU_OPTIMIZATIONS)
]


@pytest.fixture(params=[FAKE, *REAL, OPENVINO])
def load(request: pytest.FixtureRequest, tiny_roms: TinyRoms) -> Callable[[], Backend]:
    rom, optimizations = request.param
    directory = REPOSITORY / "tests" / "roms" / "fake" if rom == "fake" else tiny_roms[rom]
    options = LoadOptions("cpu", "float32", optimizations)
    if optimizations is None:
        cache_dir = request.getfixturevalue("openvino_cache").parent
        options = LoadOptions("cpu", "float32", runtime="openvino", cache_dir=cache_dir)
    return lambda: load_backend(read_rom(directory), options)


@pytest.fixture
def backend(load: Callable[[], Backend]) -> Backend:
    return load()


@pytest.fixture
def inputs(backend: Backend) -> Inputs:
    return Inputs.make(backend)


def test_info_is_what_the_engine_can_work_with(backend: Backend) -> None:
    info = backend.info
    assert info.nbytes > 0
    assert info.default_size % info.vae_scale_factor == 0
    assert info.default_scheduler in SCHEDULERS


def test_prompts_embed_to_one_shape_of_finite_floats(backend: Backend) -> None:
    embeds = [backend.encode_prompt(prompt).prompt_embeds for prompt in (*PROMPTS, "word " * 500)]
    assert {tuple(one.shape) for one in embeds} == {(len(embeds[0]), embeds[0].shape[1])}
    assert all(one.dtype == torch.float32 and bool(one.isfinite().all()) for one in embeds)


def test_prompts_embed_differently_and_the_same_one_alike(backend: Backend) -> None:
    first, second, again = (backend.encode_prompt(prompt).prompt_embeds for prompt in ("a cat", "a dog", "a cat"))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_long_prompt_is_cut_and_the_dropped_text_comes_back(backend: Backend) -> None:
    words = [f"w{chr(97 + index % 26)}" for index in range(300)]
    dropped = backend.encode_prompt(" ".join(words)).truncated.split()
    assert 0 < len(dropped) < len(words)
    assert dropped == words[-len(dropped) :]


def test_text_that_was_dropped_had_no_effect(backend: Backend) -> None:
    kept = "a cat and a dog " * 20
    first, second = backend.encode_prompt(kept + "at night"), backend.encode_prompt(kept + "in rain")
    assert torch.equal(first.prompt_embeds, second.prompt_embeds)


def test_prompt_that_fits_exactly_is_not_cut(backend: Backend) -> None:
    """Word by word up to the first prompt that is cut: then one word is dropped, the last."""
    for count in range(1, 300):
        prompt = " ".join("a" * count)
        truncated = backend.encode_prompt(prompt).truncated
        if truncated:
            assert count > 2
            assert truncated == "a"
            return
    raise AssertionError("no prompt was ever cut")


def test_empty_prompt_is_a_prompt(backend: Backend) -> None:
    assert backend.encode_prompt("").truncated == ""


def test_prediction_has_the_shape_of_the_latents_in_single_precision(backend: Backend, inputs: Inputs) -> None:
    output = inputs.predict(backend)
    assert output.shape == inputs.latents.shape
    assert output.dtype == torch.float32
    assert bool(output.isfinite().all())


def test_prediction_is_deterministic(backend: Backend, inputs: Inputs) -> None:
    assert torch.equal(inputs.predict(backend), inputs.predict(backend))


def test_prediction_follows_the_prompt_and_the_time(backend: Backend, inputs: Inputs) -> None:
    output = inputs.predict(backend)
    other_prompt = Inputs(inputs.latents, inputs.timestep, inputs.prompts[::-1])
    other_time = Inputs(inputs.latents, inputs.timestep.flip(0), inputs.prompts)
    assert not near(other_prompt.predict(backend), output)
    assert not near(other_time.predict(backend), output)


def test_row_does_not_depend_on_its_neighbours(backend: Backend, inputs: Inputs) -> None:
    together = inputs.predict(backend)
    for row in range(ROWS):
        assert near(inputs.rows(row).predict(backend)[0], together[row])


def test_order_of_rows_does_not_matter(backend: Backend, inputs: Inputs) -> None:
    assert near(inputs.rows(3, 1, 0, 2).predict(backend), inputs.predict(backend)[[3, 1, 0, 2]])


def test_prediction_leaves_its_inputs_alone(backend: Backend, inputs: Inputs) -> None:
    tensors = [inputs.latents, inputs.timestep, *(prompt.prompt_embeds for prompt in inputs.prompts)]
    before = [tensor.clone() for tensor in tensors]
    inputs.predict(backend)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))


@pytest.mark.parametrize("upcast", [False, True])
def test_pictures_are_rgb_of_the_promised_size(backend: Backend, inputs: Inputs, upcast: bool) -> None:
    pixels = backend.decode(inputs.latents, upcast=upcast)
    side = SIDE * backend.info.vae_scale_factor
    assert pixels.shape == (ROWS, 3, side, side)
    assert pixels.dtype == torch.float32


def test_decoding_is_deterministic_and_leaves_the_latents_alone(backend: Backend, inputs: Inputs) -> None:
    before = inputs.latents.clone()
    assert torch.equal(backend.decode(inputs.latents), backend.decode(inputs.latents))
    assert torch.equal(inputs.latents, before)


def test_picture_does_not_depend_on_its_neighbours(backend: Backend, inputs: Inputs) -> None:
    together = backend.decode(inputs.latents)
    for row in range(ROWS):
        assert near(backend.decode(inputs.latents[row : row + 1])[0], together[row])


def test_picture_that_is_decoded_in_parts_is_much_the_same(backend: Backend) -> None:
    """It is larger than a part: 256 pixels a side."""
    cells = 288 // backend.info.vae_scale_factor
    latents = torch.randn((1, backend.info.latent_channels, cells, cells), generator=torch.Generator().manual_seed(1))
    whole, parts = backend.decode(latents), backend.decode(latents, tiled=True)
    assert parts.shape == whole.shape
    assert float((parts - whole).abs().mean()) < 0.2 * float(whole.std())
    assert torch.equal(backend.decode(latents), whole)


def test_tall_and_wide_pictures_are_possible(backend: Backend) -> None:
    latents = torch.zeros((1, backend.info.latent_channels, 4, 8))
    assert backend.decode(latents).shape[2:] == (
        4 * backend.info.vae_scale_factor,
        8 * backend.info.vae_scale_factor,
    )


@pytest.mark.parametrize("load", REAL[1::2], indirect=True)  # the fake one holds nothing, the optimized ones most
def test_unloading_gives_the_memory_back(load: Callable[[], Backend]) -> None:
    before = living_tensor_bytes()
    backend = load()
    assert living_tensor_bytes() - before >= backend.info.nbytes
    backend.unload()
    assert living_tensor_bytes() <= before


def living_tensor_bytes() -> int:
    gc.collect()
    return sum(thing.nbytes for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
