"""Weights that leave the device and come back, with the CPU in the place of a GPU."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import pytest
import torch

from app.backends.base import Backend
from app.backends.fake import FakeBackend
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.registry import load_backend
from app.backends.tiers import ModelPart
from app.roms.catalog import Rom, read_rom
from tests.support.forwards import CPU_OPTIMIZATIONS, Inputs
from tests.support.tiny_models import make_autoencoder, make_unet
from tests.support.tiny_roms import TinyRoms

OPTIONS = LoadOptions("cpu", "bfloat16", CPU_OPTIMIZATIONS)  # a copy of the file, aligned as every other copy


@pytest.fixture
def rom(tiny_roms: TinyRoms) -> Rom:
    return read_rom(tiny_roms["sdxl"])


@pytest.fixture
def tuned(rom: Rom, tmp_path: Path) -> Rom:
    """All the same but for the weights of its U-Net."""
    directory = shutil.copytree(rom.directory, tmp_path / "tuned")
    torch.manual_seed(77)
    make_unet("sdxl").save_pretrained(directory / "unet")
    return read_rom(directory)


def picture(backend: Backend) -> torch.Tensor:
    return backend.decode(Inputs.make(backend).predict(backend))


def test_parked_weights_are_off_the_device_and_come_back_as_they_were() -> None:
    model = make_autoencoder().requires_grad_(False).to(memory_format=torch.channels_last)
    part, before = ModelPart(model), {name: weight.clone() for name, weight in model.state_dict().items()}
    strides = {name: weight.stride() for name, weight in model.state_dict().items()}
    on_device = [weakref.ref(weight.untyped_storage()) for weight in model.parameters()]
    for _ in range(2):
        part.park()
        assert not sum(weight.nbytes for weight in model.parameters())
        part.resume()
        for name, weight in model.state_dict().items():
            assert torch.equal(weight, before[name])
            assert weight.stride() == strides[name]
    assert not any(storage() for storage in on_device)


def test_backend_that_was_parked_makes_the_same_picture(rom: Rom) -> None:
    backend = load_backend(rom, OPTIONS)
    wanted = picture(backend)
    backend.park()
    backend.park()  # it is there already
    backend.resume()
    backend.resume()
    assert torch.equal(picture(backend), wanted)


def test_what_another_rom_uses_stays_on_the_device(rom: Rom, tuned: Rom) -> None:
    pool = ComponentPool()
    parked, other = load_backend(rom, OPTIONS, pool), load_backend(tuned, OPTIONS, pool)
    wanted = picture(parked), picture(other)
    parked.park()
    assert torch.equal(picture(other), wanted[1])
    assert torch.isfinite(parked.decode(torch.zeros(1, 4, 8, 8))).all()  # the decoder is the other's too
    with pytest.raises(RuntimeError):
        Inputs.make(parked).predict(parked)
    other.park()
    with pytest.raises(RuntimeError):
        other.decode(torch.zeros(1, 4, 8, 8))
    parked.resume()
    other.resume()
    assert torch.equal(picture(parked), wanted[0])
    assert torch.equal(picture(other), wanted[1])


def test_rom_that_is_loaded_brings_back_what_waits_parked(rom: Rom, tuned: Rom) -> None:
    pool = ComponentPool()
    parked = load_backend(rom, OPTIONS, pool)
    wanted = picture(parked)
    parked.park()
    loaded = load_backend(tuned, OPTIONS, pool)
    assert torch.equal(picture(loaded), picture(load_backend(tuned, OPTIONS)))
    loaded.unload()
    parked.resume()
    assert torch.equal(picture(parked), wanted)


def test_parked_rom_can_be_unloaded(rom: Rom) -> None:
    pool = ComponentPool()
    backend = load_backend(rom, OPTIONS, pool)
    backend.park()
    backend.unload()
    assert pool.is_empty


def test_backend_without_weights_takes_both_calls() -> None:
    backend = FakeBackend()
    wanted = picture(backend)
    backend.park()
    backend.resume()
    assert torch.equal(picture(backend), wanted)
