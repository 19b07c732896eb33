"""Which ROMs exist, and which are broken: one of them never takes the others down."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from app.errors import ManifestError, RomUnavailable, UnknownRom
from app.roms.catalog import Catalog, read_rom
from app.roms.library import RomLibrary
from app.roms.store import open_store
from app.roms.verification import VerifiedFiles
from tests.support.headers import write_safetensors
from tests.support.roms import MODELS, describe_file, make_rom, write_diffusers_directory, write_manifest

UNET = "unet/model.safetensors"


@pytest.fixture
def rom_directory(tmp_path: Path) -> Path:
    return write_diffusers_directory(tmp_path / "painter")


def catalog_of(*rom_ids: str) -> Catalog:
    return Catalog({rom_id: make_rom(rom_id) for rom_id in rom_ids})


def catalog_in(*roots: Path) -> Catalog:
    return RomLibrary([open_store(f"file://{root}") for root in roots]).catalog


def test_parameters_of_all_models_are_added(rom_directory: Path) -> None:
    assert read_rom(rom_directory).num_parameters == 3 * 10


@pytest.mark.parametrize("name", [*MODELS, "scheduler", "tokenizer"])
def test_missing_component_is_named(rom_directory: Path, name: str) -> None:
    (rom_directory / name).rename(rom_directory / f"{name}.away")
    with pytest.raises(ManifestError, match=f"component '{name}' is missing"):
        read_rom(rom_directory)


@pytest.mark.parametrize("name", MODELS)
def test_component_without_weights_is_named(rom_directory: Path, name: str) -> None:
    (rom_directory / name / "model.safetensors").unlink()
    with pytest.raises(ManifestError, match=f"component '{name}' has no weights"):
        read_rom(rom_directory)


def test_component_without_config_is_refused(rom_directory: Path) -> None:
    (rom_directory / "unet" / "config.json").unlink()
    with pytest.raises(ManifestError, match=r"config\.json"):
        read_rom(rom_directory)


@pytest.mark.parametrize("entry", [[None, None], [], None, True])
def test_component_that_the_index_leaves_out_is_not_needed(rom_directory: Path, entry: object) -> None:
    path = rom_directory / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8")) | {"image_encoder": entry}
    path.write_text(json.dumps(index), encoding="utf-8")
    assert read_rom(rom_directory).id == "painter"


@pytest.mark.parametrize("name", ["safety_checker", "feature_extractor", "image_encoder"])
def test_component_that_no_family_loads_need_not_be_there(rom_directory: Path, name: str) -> None:
    path = rom_directory / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8")) | {name: ["stable_diffusion", "SomeClass"]}
    path.write_text(json.dumps(index), encoding="utf-8")
    assert read_rom(rom_directory).num_parameters == 3 * 10


def test_files_that_are_not_loaded_are_not_looked_at(rom_directory: Path) -> None:
    for name in ("v1-5-pruned.ckpt", "safety_checker/pytorch_model.bin", "vae_1_0/diffusion_pytorch_model.bin"):
        (rom_directory / name).parent.mkdir(exist_ok=True)
        (rom_directory / name).write_bytes(pickle.dumps([0.0] * 100))
    for name in ("v1-5-pruned.safetensors", "text_encoder_2/model.safetensors", "unet/model.fp16.safetensors"):
        write_safetensors(rom_directory / name, {"weight": (1000,)})
    assert read_rom(rom_directory).num_parameters == 3 * 10


def test_tiny_decoder_counts_too(rom_directory: Path) -> None:
    write_safetensors(rom_directory / "vae_tiny" / "diffusion_pytorch_model.safetensors", {"weight": (5,)})
    (rom_directory / "vae_tiny" / "config.json").write_text("{}", encoding="utf-8")
    assert read_rom(rom_directory).num_parameters == 3 * 10 + 5


def test_component_of_pickles_alone_is_refused_with_a_way_to_convert_them(rom_directory: Path) -> None:
    (rom_directory / UNET).unlink()
    (rom_directory / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps([0.0] * 100))
    with pytest.raises(ManifestError, match=r"diffusion_pytorch_model\.bin is a pickle.*cartridge roms convert"):
        read_rom(rom_directory)


def test_truncated_weights_are_refused(rom_directory: Path) -> None:
    path = rom_directory / UNET
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ManifestError, match="cut short"):
        read_rom(rom_directory)


def test_pickle_that_calls_itself_safetensors_is_refused(rom_directory: Path) -> None:
    (rom_directory / UNET).write_bytes(pickle.dumps({"weight": [0.0] * 100}))
    with pytest.raises(ManifestError, match=r"is a pickle.*convert it"):
        read_rom(rom_directory)


def test_listed_file_that_is_missing_is_named(rom_directory: Path) -> None:
    write_manifest(rom_directory, files=[describe_file(rom_directory, UNET) | {"path": "unet/other.safetensors"}])
    with pytest.raises(ManifestError, match=r"unet/other\.safetensors is missing"):
        read_rom(rom_directory)


def test_listed_file_of_another_size_is_named(rom_directory: Path) -> None:
    write_manifest(rom_directory, files=[describe_file(rom_directory, UNET)])
    write_safetensors(rom_directory / UNET, {"weight": (11,)})
    with pytest.raises(ManifestError, match=r"unet/model\.safetensors has \d+ bytes, the manifest says \d+"):
        read_rom(rom_directory)


def test_digests_of_untouched_files_agree(rom_directory: Path) -> None:
    files = [describe_file(rom_directory, f"{name}/model.safetensors") for name in MODELS]
    rom = read_rom(write_manifest(rom_directory, files=files))
    VerifiedFiles().check(rom.directory, rom.manifest.files)


def test_file_changed_in_place_is_found_by_its_digest(rom_directory: Path) -> None:
    rom = read_rom(write_manifest(rom_directory, files=[describe_file(rom_directory, UNET)]))
    data = bytearray((rom_directory / UNET).read_bytes())
    data[-1] ^= 1
    (rom_directory / UNET).write_bytes(data)
    with pytest.raises(ManifestError, match=r"unet/model\.safetensors .*sha256"):
        VerifiedFiles().check(rom.directory, rom.manifest.files)


def test_one_broken_rom_does_not_hide_the_others(tmp_path: Path) -> None:
    write_manifest(tmp_path / "first")
    write_manifest(tmp_path / "Broken One", id="x", licence="MIT")
    write_manifest(tmp_path / "last")
    catalog = catalog_in(tmp_path)
    assert [rom.id for rom in catalog] == ["first", "last"]
    assert list(catalog.quarantined) == ["broken-one"]
    with pytest.raises(RomUnavailable, match="licence"):
        catalog.get("broken-one")


def test_first_source_that_has_an_id_wins(tmp_path: Path) -> None:
    for source in ("ours", "theirs"):
        write_manifest(tmp_path / source / "shapes", title=source)
    write_manifest(tmp_path / "theirs" / "scenes")
    catalog = catalog_in(tmp_path / "ours", tmp_path / "theirs")
    assert catalog.get("shapes").manifest.title == "ours"
    assert [rom.id for rom in catalog] == ["shapes", "scenes"]


def test_unknown_id_names_the_near_ones() -> None:
    with pytest.raises(UnknownRom, match=r"near: shapes$") as raised:
        catalog_of("shapes", "portraits").get("shape")
    assert raised.value.param == "model"


def test_unknown_id_that_is_near_to_none_names_a_few() -> None:
    with pytest.raises(UnknownRom, match=r"near: aaa, bbb, ccc$"):
        catalog_of("aaa", "bbb", "ccc", "ddd").get("zzz999")


def test_long_unknown_id_makes_a_short_message() -> None:
    with pytest.raises(UnknownRom) as raised:
        catalog_of("shapes").get("x" * 10_000)
    assert len(raised.value.message) < 200


def test_quarantined_rom_is_out_of_service_with_its_reason() -> None:
    catalog = catalog_of("shapes", "scenes")
    catalog.quarantine("shapes", "its digest is wrong")
    with pytest.raises(RomUnavailable, match="its digest is wrong"):
        catalog.get("shapes")
    assert [rom.id for rom in catalog] == ["scenes"]


def test_catalog_can_lose_a_rom_while_it_is_read() -> None:
    catalog = catalog_of("shapes", "scenes")
    for rom in catalog:
        catalog.quarantine(rom.id, "gone")
    assert list(catalog) == []
