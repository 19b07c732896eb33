"""Single files in a catalog: recognised by what their tensors are called."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from app.errors import ManifestError
from app.roms.catalog import Catalog, read_rom
from app.roms.library import RomLibrary
from app.roms.memory import predict_need
from app.roms.store import open_store
from tests.support.headers import write_safetensors
from tests.support.roms import write_diffusers_directory, write_manifest

Shapes = dict[str, tuple[int, ...]]
IMAGE: Shapes = {"model.diffusion_model.input_blocks.0.0.weight": (10,), "first_stage_model.quant_conv.bias": (5,)}
SD_1 = IMAGE | {"cond_stage_model.transformer.text_model.final_layer_norm.bias": (3,)}
SD_2 = IMAGE | {"cond_stage_model.model.ln_final.bias": (3,)}
SDXL = IMAGE | {
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias": (3,),
    "conditioner.embedders.1.model.ln_final.bias": (4,),
}
REFINER = IMAGE | {"conditioner.embedders.0.model.ln_final.bias": (3,)}


def catalog_in(root: Path) -> Catalog:
    return RomLibrary([open_store(f"file://{root}")]).catalog


@pytest.mark.parametrize(
    ("shapes", "family", "parameters"),
    [(SD_1, "stable_diffusion", 18), (SD_2, "stable_diffusion", 18), (SDXL, "stable_diffusion_xl", 22)],
)
def test_file_is_a_rom_by_itself(tmp_path: Path, shapes: Shapes, family: str, parameters: int) -> None:
    write_safetensors(tmp_path / "Dream Shaper_8.safetensors", shapes)
    write_diffusers_directory(tmp_path / "painter")
    catalog = catalog_in(tmp_path)
    rom = catalog.get("dream-shaper_8")
    assert (rom.manifest.title, rom.manifest.family, rom.num_parameters) == ("Dream Shaper_8", family, parameters)
    assert not rom.has_tiny_decoder
    assert set(catalog.roms) == {"dream-shaper_8", "painter"}


@pytest.mark.parametrize("shapes", [SD_1, SD_2, SDXL])
def test_need_of_memory_is_told_without_loading(tmp_path: Path, shapes: Shapes) -> None:
    need = predict_need(read_rom(write_safetensors(tmp_path / "dream.safetensors", shapes)), 2)
    assert need is not None
    assert need.largest_image_bytes > 2**20


def test_manifest_beside_the_file_counts(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "rom" / "dream.safetensors", SD_1)
    (tmp_path / "rom" / "rom.yaml").write_text("{id: dream, title: Dreams}", encoding="utf-8")
    rom = catalog_in(tmp_path).get("dream")
    assert (rom.manifest.title, rom.manifest.family) == ("Dreams", "stable_diffusion")


def test_manifest_of_another_family_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, id="dream", family="stable_diffusion_xl")
    write_safetensors(tmp_path / "dream.safetensors", SD_1)
    with pytest.raises(ManifestError, match=r"'stable_diffusion_xl', and that of dream\.safetensors is"):
        read_rom(tmp_path)


def test_tensors_that_are_not_loaded_do_not_count(tmp_path: Path) -> None:
    unused: Shapes = {
        "model_ema.diffusion_modelinput_blocks00weight": (100,),
        "cond_stage_model.model.transformer.resblocks.23.ln_1.bias": (100,),
        "cond_stage_model.model.text_projection": (100,),
        "cond_stage_model.model.logit_scale": (1,),
        "betas": (100,),
    }
    assert read_rom(write_safetensors(tmp_path / "dream.safetensors", SD_2 | unused)).num_parameters == 18


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (REFINER, "a U-Net without the text encoders"),
        ({"model.diffusion_model.out.2.bias": (4,)}, "a U-Net without the autoencoder"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4,)}, "is a LoRA"),
        ({"double_blocks.0.img_attn.proj.bias": (4,)}, "no single-file checkpoint of Stable Diffusion"),
    ],
)
def test_file_of_another_kind_is_quarantined_with_the_reason(tmp_path: Path, shapes: Shapes, reason: str) -> None:
    write_safetensors(tmp_path / "dream.safetensors", shapes)
    assert reason in catalog_in(tmp_path).quarantined["dream"]


@pytest.mark.parametrize("name", ["dream.ckpt", "dream.pt", "dream.safetensors"])
def test_pickle_is_quarantined_with_a_way_to_convert_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"state_dict": [0.0] * 100}))
    assert f"cartridge roms convert {name}" in catalog_in(tmp_path).quarantined["dream"]


def test_safetensors_under_another_suffix_is_read(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "dream.ckpt", SD_1)
    assert catalog_in(tmp_path).get("dream").num_parameters == 18


def test_damaged_file_leaves_the_others_alone(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "dream.safetensors", SD_1)
    path.write_bytes(path.read_bytes()[:-1])
    write_safetensors(tmp_path / "other.safetensors", SD_1)
    catalog = catalog_in(tmp_path)
    assert "cut short" in catalog.quarantined["dream"]
    assert set(catalog.roms) == {"other"}
