"""What ROMs have in common is in memory once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from app.backends.base import Backend
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.registry import foretell_parts, load_backend
from app.errors import ManifestError
from app.roms.catalog import Rom, read_rom
from tests.support.forwards import Inputs
from tests.support.roms import describe_file, write_manifest
from tests.support.tiny_models import make_unet
from tests.support.tiny_roms import TinyRoms

OPTIONS = LoadOptions("cpu", "float32")
HALF = LoadOptions("cpu", "float16")
LATENTS = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
Twins = Callable[[], tuple[Rom, Rom]]


@pytest.fixture
def rom(tiny_roms: TinyRoms) -> Rom:
    return read_rom(tiny_roms["sd with a tiny decoder"])


@pytest.fixture
def same(rom: Rom, tmp_path: Path) -> Rom:
    """Other files of the same bytes."""
    return read_rom(shutil.copytree(rom.directory, tmp_path / "same"))


@pytest.fixture
def tuned(rom: Rom, tmp_path: Path) -> Rom:
    """All the same but for the weights of its U-Net."""
    directory = shutil.copytree(rom.directory, tmp_path / "tuned")
    torch.manual_seed(77)
    make_unet("sd").save_pretrained(directory / "unet")
    shutil.copy(rom.directory / "unet" / "config.json", directory / "unet")
    return read_rom(directory)


@pytest.fixture
def pool() -> ComponentPool:
    return ComponentPool()


def picture(backend: Backend) -> list[torch.Tensor]:
    """All that it computes with."""
    made = [Inputs.make(backend).predict(backend), backend.encode_image(torch.zeros(3, 16, 16)).mean]
    made += [backend.decode(LATENTS, upcast=upcast, tiled=tiled) for upcast in (False, True) for tiled in (False, True)]
    return [*made, backend.decode(LATENTS, decoder="tiny")]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def bytes_read() -> int:
    """By this process, of files and all else that it reads."""
    return int(Path("/proc/self/io").read_text().split()[1])


def weights_bytes(rom: Rom) -> int:
    return sum((rom.directory / path).stat().st_size for component in rom.components for path in component.files)


def in_common(one: Rom, other: Rom, pool: ComponentPool, options: LoadOptions = OPTIONS) -> int:
    return len(foretell_parts(one, options, pool).keys() & foretell_parts(other, options, pool).keys())


def test_copies_of_a_rom_have_all_in_common(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    assert in_common(rom, same, pool) == len(rom.components) == 4


def test_roms_that_differ_in_one_component_share_the_others(rom: Rom, tuned: Rom, pool: ComponentPool) -> None:
    assert rom.components[0].outline in {component.outline for component in tuned.components}
    assert in_common(rom, tuned, pool) == 3


def test_other_precisions_are_other_parts(rom: Rom, pool: ComponentPool) -> None:
    assert not foretell_parts(rom, OPTIONS, pool).keys() & foretell_parts(rom, HALF, pool).keys()


def test_other_configs_are_other_parts(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    path = same.directory / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scaling_factor": 0.5}))
    assert in_common(rom, read_rom(same.directory), pool) == 3


@pytest.mark.parametrize("options", [OPTIONS, HALF], ids=str)
@pytest.mark.parametrize("name", ["sd with a tiny decoder", "sdxl", "bk-sdm"])
def test_what_is_foretold_is_what_it_takes(
    tiny_roms: TinyRoms, name: str, options: LoadOptions, pool: ComponentPool
) -> None:
    rom = read_rom(tiny_roms[name])
    foretold = dict(foretell_parts(rom, options, pool))
    backend = load_backend(rom, options, pool)
    assert dict(backend.info.parts) == foretold
    assert backend.info.nbytes == sum(foretold.values())


def test_digests_of_manifests_are_believed(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    for each in (rom, same):
        files = [describe_file(rom.directory, path) for component in rom.components for path in component.files]
        directory = each.directory if each is same else shutil.copytree(rom.directory, same.directory.parent / "listed")
        write_manifest(directory, family="stable_diffusion", files=files)
    listed = [read_rom(same.directory), read_rom(same.directory.parent / "listed")]
    assert all(component.digests for each in listed for component in each.components)
    before = bytes_read()
    assert in_common(listed[0], listed[1], pool) == 4
    assert bytes_read() - before < weights_bytes(rom)


def test_files_are_read_once_and_those_of_a_lone_rom_never(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    before, size = bytes_read(), weights_bytes(rom)
    lone = foretell_parts(rom, OPTIONS, pool)
    assert bytes_read() - before < size
    assert foretell_parts(same, OPTIONS, pool) == lone
    assert bytes_read() - before > 2 * size
    before = bytes_read()
    assert foretell_parts(rom, OPTIONS, pool) == foretell_parts(same, OPTIONS, pool) == lone
    assert bytes_read() - before < size


def test_file_that_was_replaced_is_another(rom: Rom, same: Rom, tuned: Rom, pool: ComponentPool) -> None:
    assert in_common(rom, same, pool) == 4
    name = "unet/diffusion_pytorch_model.safetensors"
    shutil.copy(tuned.directory / name, same.directory / "new")
    (same.directory / "new").rename(same.directory / name)
    assert in_common(rom, read_rom(same.directory), pool) == 3


def test_shared_roms_make_the_same_pictures_as_alone(rom: Rom, tuned: Rom, pool: ComponentPool) -> None:
    alone = [picture(load_backend(one, HALF)) for one in (rom, tuned)]
    together = [load_backend(one, HALF, pool) for one in (rom, tuned)]
    assert all(equal(picture(backend), wanted) for backend, wanted in zip(together, alone, strict=True))
    assert not equal(*alone)


def test_rom_goes_on_when_one_that_shared_with_it_is_unloaded(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    first, second = load_backend(rom, OPTIONS, pool), load_backend(same, OPTIONS, pool)
    wanted = picture(second)
    first.unload()
    first.unload()  # once is enough, and twice does no harm
    assert equal(picture(second), wanted)


def test_equal_u_nets_are_measured_once(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    first, second = load_backend(rom, OPTIONS, pool), load_backend(same, OPTIONS, pool)
    assert first.info.cell_step_prior_s == second.info.cell_step_prior_s > 0


def test_rom_that_fails_leaves_nothing_behind(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    shutil.rmtree(same.directory / "scheduler")
    with pytest.raises(ManifestError):
        load_backend(same, OPTIONS, pool)
    assert pool.is_empty
    backend = load_backend(rom, OPTIONS, pool)
    assert backend.info.nbytes > 0
    backend.unload()
    assert pool.is_empty


def test_roms_load_and_compute_at_the_same_time_as_if_alone(
    rom: Rom, same: Rom, tuned: Rom, pool: ComponentPool
) -> None:
    """A ROM makes pictures of every kind while others that share with it come and go."""
    alone = [picture(load_backend(one, HALF)) for one in (rom, same, tuned)]
    start, resident = threading.Barrier(4), load_backend(rom, HALF, pool)

    def come_and_go(one: Rom) -> list[list[torch.Tensor]]:
        start.wait()
        made = []
        for _ in range(3):
            backend = load_backend(one, HALF, pool)
            made.append([backend.decode(LATENTS, upcast=True, tiled=True), backend.decode(LATENTS)])
            backend.unload()
        return made

    def stay() -> list[list[torch.Tensor]]:
        start.wait()
        return [picture(resident) for _ in range(6)]

    with ThreadPoolExecutor(4) as threads:
        stayed = threads.submit(stay)
        went = [threads.submit(come_and_go, one) for one in (rom, same, tuned)]
        assert all(equal(made, alone[0]) for made in stayed.result())
        for guest, wanted in zip(went, alone, strict=True):
            assert all(equal(made, [wanted[5], wanted[2]]) for made in guest.result())
    resident.unload()
    assert pool.is_empty


def test_equal_roms_asked_for_at_once_are_loaded_once(rom: Rom, same: Rom, pool: ComponentPool) -> None:
    start = threading.Barrier(2)

    def load(one: Rom) -> Backend:
        start.wait()
        return load_backend(one, OPTIONS, pool)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(load, (rom, same))
    assert first.info.parts == second.info.parts
    assert first.info.cell_step_prior_s == second.info.cell_step_prior_s
    first.unload()
    assert equal(picture(second), picture(load_backend(rom, OPTIONS)))
