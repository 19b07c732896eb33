"""A public model's ROM, made of weights on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import CartridgeError, ManifestError, SettingsError, UnknownModel
from app.roms.adding import add_rom, find_published
from app.roms.catalog import Rom, read_rom
from app.roms.verification import VerifiedFiles
from tests.support.headers import write_safetensors
from tests.support.roms import write_diffusers_directory, write_manifest

SINGLE_FILE: dict[str, tuple[int, ...]] = {
    "model.diffusion_model.input_blocks.0.0.weight": (10,),
    "first_stage_model.quant_conv.bias": (5,),
    "cond_stage_model.transformer.text_model.final_layer_norm.bias": (3,),
}


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    described = {"license": "Apache-2.0", "domain": {"name": "general", "examples": ["a cat"]}}
    write_manifest(tmp_path / "catalog" / "painter", family="stable_diffusion", **described)
    write_manifest(tmp_path / "catalog" / "painter-xl", family="stable_diffusion_xl", **described)
    return tmp_path / "catalog"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    directory = write_diffusers_directory(tmp_path / "downloaded")
    for name in ("scheduler/scheduler_config.json", "tokenizer/vocab.json"):
        (directory / name).write_text("{}", encoding="utf-8")
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def add(catalog: Path, rom_id: str, source: Path, store: Path) -> Rom:
    return add_rom(find_published(catalog, rom_id), source, store)


def paths(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_rom_has_the_catalogs_manifest_and_digests_of_all_its_files(catalog: Path, weights: Path, store: Path) -> None:
    added = add(catalog, "painter", weights, store)
    assert added.directory == store / "painter"
    rom = read_rom(store / "painter")
    assert (rom.manifest.license, rom.manifest.domain.examples) == ("Apache-2.0", ("a cat",))
    assert rom.num_parameters == 3 * 10
    assert {file.path for file in rom.manifest.files} == paths(rom.directory) - {"rom.yaml"}
    VerifiedFiles().check(rom.directory, rom.manifest.files)


def test_only_what_is_loaded_is_taken(catalog: Path, weights: Path, store: Path) -> None:
    wanted = paths(weights)
    write_safetensors(weights / "unet" / "model.fp16.safetensors", {"weight": (10,)})
    for name in (
        "README.md",
        "v1-5-pruned.ckpt",
        "unet/pytorch_model.bin",
        "unet/.DS_Store",
        ".cache/blob.safetensors",
    ):
        (weights / name).parent.mkdir(exist_ok=True)
        (weights / name).write_bytes(b"x")
    (weights / "rom.yaml").write_text("id: another", encoding="utf-8")
    add(catalog, "painter", weights, store)
    assert paths(store / "painter") == wanted | {"rom.yaml"}
    assert read_rom(store / "painter").id == "painter"


def test_weights_take_no_more_room_and_configs_are_the_roms_own(catalog: Path, weights: Path, store: Path) -> None:
    add(catalog, "painter", weights, store)
    weight, config = "unet/model.safetensors", "unet/config.json"
    assert (store / "painter" / weight).samefile(weights / weight)
    assert not (store / "painter" / config).samefile(weights / config)


def test_links_of_a_repository_cache_become_files(catalog: Path, weights: Path, store: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    (weights / "unet" / "model.safetensors").rename(blob)
    (weights / "unet" / "model.safetensors").symlink_to(blob)
    add(catalog, "painter", weights, store)
    assert not (store / "painter" / "unet" / "model.safetensors").is_symlink()
    assert read_rom(store / "painter").num_parameters == 3 * 10


def test_checkpoint_in_one_file_becomes_a_rom(catalog: Path, store: Path, tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "Painter (final).safetensors", SINGLE_FILE)
    assert add(catalog, "painter", file, store).is_single_file
    assert paths(store / "painter") == {"rom.yaml", "painter.safetensors"}
    assert read_rom(store / "painter").num_parameters == 18


def test_checkpoint_in_a_directory_keeps_what_lies_beside_it(catalog: Path, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    write_safetensors(folder / "dream.safetensors", SINGLE_FILE)
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer/vocab.json", "preview.png"):
        (folder / name).write_text("{}", encoding="utf-8")
    add(catalog, "painter", folder, store)
    assert paths(store / "painter") == {"rom.yaml", "painter.safetensors", "tokenizer/vocab.json"}


def refused(error: type[CartridgeError], told: str, catalog: Path, rom_id: str, source: Path, store: Path) -> None:
    before = sorted(store.parent.rglob("*"))
    with pytest.raises(error, match=told):
        add(catalog, rom_id, source, store)
    left = [path for path in sorted(store.parent.rglob("*")) if path not in before and path != store]
    assert left == []


def test_unknown_model_is_told_with_those_that_are_known(catalog: Path, weights: Path, store: Path) -> None:
    refused(UnknownModel, "has no 'pianter'; it has: painter, painter-xl", catalog, "pianter", weights, store)


def test_missing_catalog_is_told(weights: Path, store: Path, tmp_path: Path) -> None:
    refused(SettingsError, "nowhere is not a directory", tmp_path / "nowhere", "painter", weights, store)


def test_weights_of_another_family_are_refused(catalog: Path, weights: Path, store: Path, tmp_path: Path) -> None:
    told = "'painter-xl' is of family 'stable_diffusion_xl', and .* is of 'stable_diffusion'"
    refused(ManifestError, told, catalog, "painter-xl", weights, store)
    file = write_safetensors(tmp_path / "dream.safetensors", SINGLE_FILE)
    refused(ManifestError, told, catalog, "painter-xl", file, store)


def test_pipeline_that_nobody_loads_is_refused(catalog: Path, weights: Path, store: Path) -> None:
    (weights / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}), encoding="utf-8")
    refused(ManifestError, "'FluxPipeline' is not supported", catalog, "painter", weights, store)


def test_source_without_weights_is_refused(catalog: Path, weights: Path, store: Path, tmp_path: Path) -> None:
    refused(ManifestError, "nowhere is not there", catalog, "painter", tmp_path / "nowhere", store)
    (tmp_path / "empty").mkdir()
    refused(ManifestError, "empty has no weights", catalog, "painter", tmp_path / "empty", store)
    (weights / "unet" / "model.safetensors").unlink()
    refused(ManifestError, "component 'unet' has no weights", catalog, "painter", weights, store)


def test_weights_that_are_cut_short_leave_nothing(catalog: Path, weights: Path, store: Path) -> None:
    whole = (weights / "vae" / "model.safetensors").read_bytes()
    (weights / "vae" / "model.safetensors").write_bytes(whole[:-4])
    refused(ManifestError, "cut short or damaged", catalog, "painter", weights, store)


def test_rom_that_is_there_stays_as_it_is(catalog: Path, weights: Path, store: Path) -> None:
    write_manifest(store / "painter")
    refused(SettingsError, "painter is there already", catalog, "painter", weights, store)
    assert paths(store / "painter") == {"rom.yaml"}


def test_catalog_entry_under_another_name_is_refused(catalog: Path, weights: Path, store: Path) -> None:
    (catalog / "painter").rename(catalog / "sculptor")
    refused(ManifestError, "id: 'painter', and the folder is 'sculptor'", catalog, "sculptor", weights, store)
