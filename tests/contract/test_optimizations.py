"""Optimizations change how long a forward takes, not what it predicts."""

from __future__ import annotations

from itertools import combinations

import pytest

from app.backends.base import Backend
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from tests.support.forwards import CPU_OPTIMIZATIONS, Inputs, near
from tests.support.tiny_roms import TinyRoms

FAMILIES = ["sd", "sd-text", "bk-sdm", "sdxl", "ssd-1b", "sdxl inpainting"]
SETS = [*((name,) for name in CPU_OPTIMIZATIONS), *combinations(CPU_OPTIMIZATIONS, 2), CPU_OPTIMIZATIONS]


def load(tiny_roms: TinyRoms, rom: str, *optimizations: str) -> Backend:
    return load_backend(read_rom(tiny_roms[rom]), LoadOptions("cpu", "float32", optimizations))


@pytest.mark.parametrize("rom", FAMILIES)
def test_predictions_are_those_without(tiny_roms: TinyRoms, rom: str) -> None:
    """For prompts of one chunk and of two, in turn, so that nothing of the one is left for the other."""
    plain = load(tiny_roms, rom)
    wanted = [Inputs.make(plain, chunks).predict(plain) for chunks in (1, 2)]
    assert not near(wanted[0], wanted[1])
    for optimizations in SETS:
        backend = load(tiny_roms, rom, *optimizations)
        inputs = [Inputs.make(backend, chunks) for chunks in (1, 2)]
        for which in (0, 1, 0):
            assert near(inputs[which].predict(backend), wanted[which]), optimizations


@pytest.mark.parametrize("rom", FAMILIES)
def test_prompts_of_another_batch_are_not_mistaken_for_those_of_this(tiny_roms: TinyRoms, rom: str) -> None:
    plain, backend = load(tiny_roms, rom), load(tiny_roms, rom, *CPU_OPTIMIZATIONS)
    one, other = Inputs.make(plain), Inputs.make(backend)
    for rows in ((0, 1, 2, 3), (3, 2, 1, 0), (0, 0, 0, 0), (0, 1), (1, 0)):
        assert near(other.rows(*rows).predict(backend), one.rows(*rows).predict(plain))


def test_keys_and_values_are_computed_once_where_that_is_asked(tiny_roms: TinyRoms) -> None:
    computed = load(tiny_roms, "sdxl", "prompt_keys_values").encode_prompt("a cat", 2)
    lengths = {keys_values.shape[:2] for keys_values in computed.keys_values}
    assert lengths == {(2, len(computed.prompt_embeds))}
    assert load(tiny_roms, "sdxl").encode_prompt("a cat").keys_values == ()


def test_bfloat16_in_tiles_is_as_near_as_without(tiny_roms: TinyRoms) -> None:
    exact = load(tiny_roms, "sd")
    wanted = Inputs.make(exact).predict(exact)

    def error(*optimizations: str) -> float:
        backend = load_backend(read_rom(tiny_roms["sd"]), LoadOptions("cpu", "bfloat16", optimizations))
        return float((Inputs.make(backend).predict(backend) - wanted).abs().max())

    assert error(*CPU_OPTIMIZATIONS) <= 1.5 * error() < 0.05 * float(wanted.abs().max())
