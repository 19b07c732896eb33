"""LoRA ROMs in a catalog: each finds its base, or says what is wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from app.errors import ManifestError
from app.roms.library import RomLibrary
from app.roms.memory import predict_need
from app.roms.store import open_store
from tests.support.headers import write_safetensors
from tests.support.roms import describe_file, write_diffusers_directory, write_manifest

KOHYA = "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"


def catalog_in(*roots: Path):  # type: ignore[no-untyped-def]
    return RomLibrary([open_store(f"file://{root}") for root in roots]).catalog


def write_base(directory: Path) -> Path:
    """Of ten zeros a model."""
    return write_diffusers_directory(directory)


def write_lora(directory: Path, tensor: str = KOHYA, **fields: object) -> Path:
    write_manifest(directory, **{"family": "stable_diffusion", "base": "painter"} | fields)
    write_safetensors(directory / "style.safetensors", {tensor: (3,)})
    return directory


def reason_of(root: Path, rom_id: str = "ink") -> str:
    reason: str = catalog_in(root).quarantined[rom_id]
    return reason


def test_base_may_be_in_any_source(tmp_path: Path) -> None:
    write_lora(tmp_path / "loras" / "ink")
    base = write_base(tmp_path / "models" / "painter")
    rom = catalog_in(tmp_path / "loras", tmp_path / "models").get("ink")
    assert rom.base is not None
    assert rom.base.id == "painter"
    assert rom.model_directory == base
    assert rom.num_parameters == 30 + 3


def test_what_a_lora_does_not_say_its_base_says(tmp_path: Path) -> None:
    presets = {"default": {"num_inference_steps": 12}, "fast": {"num_inference_steps": 3}}
    write_base(tmp_path / "painter")
    write_manifest(tmp_path / "painter", family="stable_diffusion", presets=presets, limits={"max_steps": 20})
    write_lora(tmp_path / "ink", limits={"max_steps": 10})
    (tmp_path / "ink" / "rom.yaml").write_text("{id: ink, base: painter, limits: {max_steps: 10}}", encoding="utf-8")
    manifest = catalog_in(tmp_path).get("ink").manifest
    assert manifest.family == "stable_diffusion"
    assert manifest.presets["fast"].num_inference_steps == 3
    assert manifest.limits.max_steps == 10


def test_need_of_memory_is_told_from_the_bases_configs(tmp_path: Path, tiny_rom: Path) -> None:
    write_lora(tmp_path / "ink", base="tiny")
    catalog = catalog_in(tmp_path, tiny_rom.parent)
    lora, base = (predict_need(catalog.get(name), 2) for name in ("ink", "tiny"))
    assert lora is not None
    assert base is not None
    assert lora.weights_bytes == base.weights_bytes + 2 * 3
    assert lora.largest_image_bytes == base.largest_image_bytes


def test_base_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_base(tmp_path / "painters")
    write_lora(tmp_path / "ink")
    assert "its base: no ROM has the id 'painter'; near: painters" in reason_of(tmp_path)


def test_base_that_is_broken_takes_its_loras_along(tmp_path: Path) -> None:
    (write_base(tmp_path / "painter") / "vae" / "config.json").unlink()
    write_lora(tmp_path / "ink")
    assert "its base: ROM 'painter' is out of service: vae/config.json" in reason_of(tmp_path)


def test_lora_over_itself_is_refused(tmp_path: Path) -> None:
    write_lora(tmp_path / "ink", base="ink")
    assert "base: a ROM cannot be its own" in reason_of(tmp_path)


def test_loras_in_a_circle_are_refused(tmp_path: Path) -> None:
    write_lora(tmp_path / "ink", base="oil")
    write_lora(tmp_path / "oil", base="ink")
    assert "its base 'oil' is itself a LoRA" in reason_of(tmp_path)


def test_base_of_a_family_without_loras_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "painter")
    write_lora(tmp_path / "ink")
    assert "'fake', which takes no LoRA" in reason_of(tmp_path)


def test_family_that_is_not_the_bases_is_refused(tmp_path: Path) -> None:
    write_base(tmp_path / "painter")
    write_lora(tmp_path / "ink", family="stable_diffusion_xl")
    assert "'stable_diffusion_xl', and that of its base 'painter' is 'stable_diffusion'" in reason_of(tmp_path)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        ("lora_unet_mid_block_resnets_0_conv1.hada_w1_a", "a LoHa"),
        ("lora_unet_mid_block_resnets_0_conv1.lokr_w1", "a LoKr"),
        ("lora_unet_mid_block_resnets_0_conv1.dora_scale", "a DoRA"),
        ("model.diffusion_model.input_blocks.0.0.weight", "no LoRA as kohya, diffusers or peft name its tensors"),
    ],
)
def test_file_of_another_kind_is_refused_by_its_kind(tmp_path: Path, tensor: str, kind: str) -> None:
    write_base(tmp_path / "painter")
    write_lora(tmp_path / "ink", tensor)
    assert kind in reason_of(tmp_path)


def test_pickle_is_refused_with_a_way_to_convert_it(tmp_path: Path) -> None:
    write_base(tmp_path / "painter")
    lora = write_lora(tmp_path / "ink")
    (lora / "style.safetensors").unlink()
    (lora / "style.pt").write_bytes(pickle.dumps({"weight": [0.0] * 100}))
    assert "style.pt is a pickle" in reason_of(tmp_path)
    assert "cartridge roms convert style.pt" in reason_of(tmp_path)


def test_lora_without_its_file_is_refused(tmp_path: Path) -> None:
    write_base(tmp_path / "painter")
    (write_lora(tmp_path / "ink") / "style.safetensors").unlink()
    assert "no LoRA beside its manifest" in reason_of(tmp_path)


def test_several_files_are_refused_by_their_names(tmp_path: Path) -> None:
    write_base(tmp_path / "painter")
    write_safetensors(write_lora(tmp_path / "ink") / "other.safetensors", {KOHYA: (3,)})
    assert "other.safetensors, style.safetensors" in reason_of(tmp_path)


def test_scale_without_a_base_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "ink", lora_scale=0.5)
    assert "lora_scale is of a LoRA" in reason_of(tmp_path)


def test_digests_of_the_base_are_compared_too(tmp_path: Path) -> None:
    base = write_base(tmp_path / "painter")
    listed = describe_file(base, "unet/config.json") | {"sha256": "0" * 64}
    write_manifest(base, family="stable_diffusion", files=[listed])
    write_lora(tmp_path / "ink")
    with pytest.raises(ManifestError, match=r"unet/config\.json does not have the sha256"):
        library = RomLibrary([open_store(f"file://{tmp_path}")])
        library.verify(library.catalog.get("ink"))


def test_manifest_without_family_and_base_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "painter")
    (base / "rom.yaml").write_text(json.dumps({"id": "painter"}), encoding="utf-8")
    assert "rom.yaml: family: required" in reason_of(tmp_path, "painter")
