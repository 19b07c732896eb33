"""LoRAs beside their base: what is shared, what never leaks, and files that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from app.backends.base import Backend
from app.backends.lora import Lora
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.registry import foretell_parts, load_backend
from app.core import Budget
from app.errors import ManifestError
from app.roms.catalog import Catalog
from app.roms.library import RomLibrary
from app.roms.manifest import read_json
from app.roms.store import open_store
from tests.support.bench import Bench, alone, image_of, latents_of
from tests.support.loras import EVERYTHING, TinyLora, write_lora_rom
from tests.support.pairs import assert_near
from tests.support.tiny_rom import TinyRom, build_tiny_rom

ROMS = ("base", "ink", "oil")
OPTIONS = LoadOptions("cpu", "float32")
ASKED: dict[str, Any] = {"guidance_scale": 3.0, "negative_prompt": "a dog"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and two LoRAs over it."""
    root = tmp_path_factory.mktemp("roms")
    base = build_tiny_rom(root / "base")
    write_lora_rom(root / "ink", base, TinyLora("kohya", modules=EVERYTHING, seed=1))
    write_lora_rom(root / "oil", base, TinyLora("peft", models=("unet",), seed=2))
    return root


@pytest.fixture(scope="module")
def catalog(root: Path) -> Catalog:
    return RomLibrary([open_store(f"file://{root}")]).catalog


@pytest.fixture(scope="module")
def pool() -> ComponentPool:
    return ComponentPool()


@pytest.fixture(scope="module")
def backends(catalog: Catalog, pool: ComponentPool) -> dict[str, Backend]:
    return {name: load_backend(catalog.get(name), OPTIONS, pool) for name in ROMS}


@pytest.fixture(scope="module")
def pictures(backends: dict[str, Backend]) -> dict[str, bytes]:
    return {name: image_of(alone(backend, **ASKED)) for name, backend in backends.items()}


def read_lora(path: Path, base: Path, scale: float = 1.0) -> Lora:
    return Lora(path, scale, read_json(base / "unet" / "config.json"))


def storage_bytes(modules: Iterable[Any]) -> int:
    """Of all their parameters and buffers, each storage once."""
    tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def test_roms_of_one_base_paint_differently_and_never_leak(
    backends: dict[str, Backend], pictures: dict[str, bytes]
) -> None:
    assert len(set(pictures.values())) == len(ROMS)
    for name in ("base", "ink", "oil", "base", "oil", "ink", "base"):
        assert image_of(alone(backends[name], **ASKED)) == pictures[name]


def test_roms_of_one_base_share_an_engine(backends: dict[str, Backend], pictures: dict[str, bytes]) -> None:
    bench, states = Bench(), {}
    for place, name in enumerate(ROMS):  # the latest to come is in the greatest hurry
        states[name] = bench.submit(backends[name], rom_id=name, budget=Budget(60.0 - place), **ASKED)
        bench.tick()
    bench.run()
    assert bench.log.rom_ids[0] == bench.log.rom_ids[-1] == "base", "they did not take turns"
    assert {name: image_of(state) for name, state in states.items()} == pictures


def test_roms_of_one_base_compute_at_the_same_time(backends: dict[str, Backend], pictures: dict[str, bytes]) -> None:
    names = ROMS * 3
    with ThreadPoolExecutor(len(ROMS)) as threads:
        painted = list(threads.map(lambda name: image_of(alone(backends[name], **ASKED)), names))
    assert painted == [pictures[name] for name in names]


def test_weights_of_the_base_are_in_memory_once(root: Path, catalog: Catalog) -> None:
    unet = UNet2DConditionModel.from_pretrained(root / "base" / "unet", local_files_only=True)
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    files = [root / name / "lora.safetensors" for name in ("ink", "oil")]
    loras = [read_lora(file, root / "base") for file in files]
    adapted = [lora.over("unet", unet) for lora in loras]
    matrices = [tensor for file in files for name, tensor in load_file(file).items() if "unet" in name]
    differences = sum(tensor.nbytes for tensor in matrices if tensor.ndim)
    assert storage_bytes([unet, *adapted]) == storage_bytes([unet]) + differences
    assert unet.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_text_encoder_without_a_difference_is_the_bases_own(root: Path) -> None:
    text_encoder = CLIPTextModel.from_pretrained(root / "base" / "text_encoder", local_files_only=True)
    oil, ink = (read_lora(root / name / "lora.safetensors", root / "base") for name in ("oil", "ink"))
    assert oil.over("text_encoder", text_encoder) is text_encoder
    assert ink.over("text_encoder", text_encoder) is not text_encoder


def test_half_precision_is_that_of_the_base(root: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(root / "base" / "unet", torch_dtype=torch.bfloat16)
    adapted = read_lora(root / "ink" / "lora.safetensors", root / "base").over("unet", unet)
    assert {tensor.dtype for tensor in adapted.parameters()} == {torch.bfloat16}


def test_roms_of_one_pool_hold_the_base_once(catalog: Catalog, backends: dict[str, Backend]) -> None:
    base, ink, oil = (catalog.get(name).num_parameters for name in ROMS)
    parts = {key: size for backend in backends.values() for key, size in backend.info.parts.items()}
    assert sum(parts.values()) == 4 * (base + (ink - base) + (oil - base))
    assert [backends[name].info.nbytes for name in ROMS] == [4 * base, 4 * ink, 4 * oil]


def test_parts_are_foretold(catalog: Catalog, backends: dict[str, Backend], pool: ComponentPool) -> None:
    for name in ROMS:
        assert foretell_parts(catalog.get(name), OPTIONS, pool) == backends[name].info.parts


def test_rom_that_leaves_the_device_leaves_its_base_to_others(
    backends: dict[str, Backend], pictures: dict[str, bytes]
) -> None:
    backends["ink"].park()
    assert image_of(alone(backends["base"], **ASKED)) == pictures["base"]
    backends["base"].park()
    assert image_of(alone(backends["oil"], **ASKED)) == pictures["oil"]
    backends["oil"].park()
    for name in ("ink", "base", "oil"):
        backends[name].resume()
        assert image_of(alone(backends[name], **ASKED)) == pictures[name]


@pytest.mark.parametrize("optimization", ["split_geglu", "fused_qkv", "channels_last", "tiled_attention"])
def test_optimized_base_takes_a_lora(catalog: Catalog, backends: dict[str, Backend], optimization: str) -> None:
    options, pool = LoadOptions("cpu", "float32", (optimization,)), ComponentPool()
    base, ink = (load_backend(catalog.get(name), options, pool) for name in ("base", "ink"))
    for name, backend in (("ink", ink), ("base", base)):
        mine, expected = alone(backend, **ASKED), alone(backends[name], **ASKED)
        assert_near(latents_of(mine), latents_of(expected))


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("sdxl", "does not fit its base: unet.*has the shape .* and the base's weight"),
        ("bk-sdm", "does not fit its base, whose unet has no down_blocks.1.attentions.0.proj_in"),
    ],
)
def test_lora_of_another_base_is_refused(tmp_path: Path, root: Path, architecture: Any, reason: str) -> None:
    other = build_tiny_rom(tmp_path / "base", TinyRom(architecture))
    write_lora_rom(tmp_path / "ink", other)
    lora = root / "ink" / "lora.safetensors"
    (tmp_path / "ink" / "lora.safetensors").write_bytes(lora.read_bytes())
    rom = RomLibrary([open_store(f"file://{tmp_path}")]).catalog.get("ink")
    with pytest.raises(ManifestError, match=reason):
        load_backend(rom, LoadOptions("cpu", "float32"))


def test_lora_whose_training_changed_the_base_is_refused(tmp_path: Path) -> None:
    base = build_tiny_rom(tmp_path / "base")
    lora = TinyLora(peft_config={"r": 4, "lora_alpha": 4, "init_lora_weights": "pissa"})
    rom_directory = write_lora_rom(tmp_path / "ink", base, lora)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", local_files_only=True)
    with pytest.raises(ManifestError, match="was begun by pissa, which changes its base"):
        read_lora(rom_directory / "lora.safetensors", base).over("unet", unet)


def test_lora_for_a_model_that_the_base_has_not_is_refused(tmp_path: Path) -> None:
    base = build_tiny_rom(tmp_path / "base")
    directory = write_lora_rom(tmp_path / "ink", base)
    tensors = load_file(directory / "lora.safetensors")
    of_text = {name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.startswith("text_encoder.")}
    second = {f"text_encoder_2.{name}": tensor.clone() for name, tensor in of_text.items()}
    save_file(tensors | second, directory / "lora.safetensors")
    catalog = RomLibrary([open_store(f"file://{tmp_path}")]).catalog
    assert catalog.quarantined["ink"] == "its weights are for text_encoder_2, which its base 'base' has not"
