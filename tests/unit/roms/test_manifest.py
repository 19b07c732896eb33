"""What a `rom.yaml` may say, and what a directory without one is taken for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import ManifestError
from app.roms.manifest import Preset, RomFile, read_manifest, slug
from tests.support.roms import write_diffusers_directory, write_manifest

DIGEST = "0" * 64


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "shapes"


def refusal(directory: Path, **fields: Any) -> str:
    with pytest.raises(ManifestError) as raised:
        read_manifest(write_manifest(directory, **fields))
    return raised.value.message


def test_everything_a_manifest_says_is_read(directory: Path) -> None:
    said: dict[str, Any] = {
        "id": "shapes-2.1",
        "revision": "3",
        "title": "Shapes",
        "family": "stable_diffusion",
        "base": "painter",
        "lora_scale": 0.5,
        "license": "Apache-2.0",
        "source": "made here",
        "domain": {
            "name": "geometry",
            "description": "flat shapes",
            "keywords": ["circle"],
            "styles": ["flat"],
            "examples": ["a red circle"],
            "avoid": ["faces"],
            "rules": [
                {"name": "counts", "pattern": "three|four", "tags": [], "degree": 0.5, "against": False},
                {"name": "tags", "pattern": "", "tags": ["1girl"], "degree": 1.0, "against": True},
            ],
            "adeptness": 0.9,
        },
        "presets": {
            "default": {
                "num_inference_steps": 20,
                "guidance_scale": 3.0,
                "guidance_interval": [0.1, 0.9],
                "scheduler": "ddim",
                "decoder": "tiny",
                "long_prompts": "chunk",
                "width": 64,
                "height": 48,
                "partial_share": 0.75,
                "degrade": ["size", "steps", "twin"],
                "twin": "shapes-fast",
            },
            "fast": {
                "num_inference_steps": 4,
                "guidance_scale": 0.0,
                "guidance_interval": [0.0, 1.0],
                "scheduler": "dpmpp_2m",
                "decoder": "tiny",
                "long_prompts": "chunk",
                "width": 64,
                "height": 64,
                "partial_share": 1.0,
                "degrade": [],
                "twin": None,
            },
        },
        "prompt_template": "{prompt}, flat",
        "trigger_words": ["shps"],
        "negative_prompt": "blurry",
        "limits": {"max_pixels": 4096, "max_steps": 50, "max_batch": 4},
        "expected": {"memory_bytes": 1000, "speed_ratio": 1.6},
        "files": [{"path": "unet/model.safetensors", "bytes": 12, "sha256": DIGEST}],
    }
    assert read_manifest(write_manifest(directory, **said)).model_dump(mode="json") == said


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"name": "both", "pattern": "a", "tags": ["a"]}, "needs either a pattern or tags"),
        ({"name": "neither"}, "needs either a pattern or tags"),
        ({"name": "open", "pattern": "(a"}, "is no regular expression"),
        ({"name": "too sure", "pattern": "a", "degree": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_rule_is_one_that_can_fire(directory: Path, rule: dict[str, Any], problem: str) -> None:
    message = refusal(directory, id="shapes", family="fake", domain={"rules": [rule]})
    assert "domain.rules.0" in message
    assert problem in message


def test_id_and_family_are_enough(directory: Path) -> None:
    manifest = read_manifest(write_manifest(directory))
    assert (manifest.id, manifest.family) == ("shapes", "fake")
    assert manifest.presets == {"default": Preset()}
    assert manifest.prompt_template == "{prompt}"


def test_default_preset_is_added_to_the_others(directory: Path) -> None:
    presets = read_manifest(write_manifest(directory, presets={"fast": {"num_inference_steps": 2}})).presets
    assert (presets["default"], presets["fast"].num_inference_steps) == (Preset(), 2)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"licence": "MIT"}, "licence"),
        ({"domain": {"keyword": ["circle"]}}, "domain.keyword"),
        ({"presets": {"fast": {"steps": 4}}}, "presets.fast.steps"),
        ({"limits": {"max_bytes": 4}}, "limits.max_bytes"),
    ],
)
def test_extra_field_is_refused_with_its_path(directory: Path, fields: dict[str, Any], named: str) -> None:
    message = refusal(directory, **fields)
    assert f"rom.yaml: {named}:" in message


@pytest.mark.parametrize("rom_id", ["Shapes", "-shapes", "../shapes", "a/b", "", "s" * 64, "shapes\n", "sha pes"])
def test_id_that_is_no_id_is_refused(directory: Path, rom_id: str) -> None:
    assert "rom.yaml: id:" in refusal(directory, id=rom_id)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"presets": {"fast": {"guidance_interval": [0.8, 0.2]}}}, "presets.fast.guidance_interval"),
        ({"family": None}, "family"),
        ({"presets": {"default": {"num_inference_steps": 0}}}, "presets.default.num_inference_steps"),
        ({"presets": {"default": {"guidance_scale": -1}}}, "presets.default.guidance_scale"),
        ({"presets": {"default": {"partial_share": 0}}}, "presets.default.partial_share"),
        ({"presets": {"default": {"partial_share": 1.1}}}, "presets.default.partial_share"),
        ({"presets": {"default": {"degrade": ["colours"]}}}, "presets.default.degrade"),
        ({"presets": {"default": {"degrade": ["twin", "size"]}}}, "presets.default.degrade"),
        ({"presets": {"default": {"twin": "No Id"}}}, "presets.default.twin"),
        ({"presets": {"fast": {"scheduler": "EulerScheduler"}}}, "presets.fast.scheduler: 'EulerScheduler'"),
        ({"limits": {"max_batch": 0}}, "limits.max_batch"),
        ({"files": [{"path": "a", "bytes": 1, "sha256": "short"}]}, "files.0.sha256"),
        ({"prompt_template": "no place for it"}, "prompt_template"),
    ],
)
def test_wrong_value_is_named(directory: Path, fields: dict[str, Any], named: str) -> None:
    assert named in refusal(directory, **fields)


@pytest.mark.parametrize(
    "text",
    [
        "id: [unclosed",
        "- a list",
        "just words",
        "",
        "id: shapes\nfamily: fake\nrevision: 2024-13-45",
        "[" * 1000,
        "!!python/object/apply:os.getcwd []",
    ],
)
def test_file_that_is_no_mapping_is_refused(directory: Path, text: str) -> None:
    directory.mkdir()
    (directory / "rom.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"rom\.yaml"):
        read_manifest(directory)


def test_bytes_that_are_no_text_are_refused(directory: Path) -> None:
    directory.mkdir()
    (directory / "rom.yaml").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(ManifestError, match=r"rom\.yaml"):
        read_manifest(directory)


def test_plain_diffusers_directory_is_a_rom_with_defaults(tmp_path: Path) -> None:
    manifest = read_manifest(write_diffusers_directory(tmp_path / "My Model v1.5"))
    assert (manifest.id, manifest.title, manifest.family) == ("my-model-v1.5", "My Model v1.5", "stable_diffusion")
    assert manifest.presets == {"default": Preset()}


@pytest.mark.parametrize("pipeline", ["FluxPipeline", None, 5])
def test_pipeline_that_is_not_supported_is_named(directory: Path, pipeline: object) -> None:
    directory.mkdir()
    (directory / "model_index.json").write_text(json.dumps({"_class_name": pipeline}), encoding="utf-8")
    with pytest.raises(ManifestError, match=f"{pipeline!r}.*StableDiffusionPipeline"):
        read_manifest(directory)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_index_that_is_no_object_is_refused(directory: Path, text: str) -> None:
    directory.mkdir()
    (directory / "model_index.json").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"model_index\.json"):
        read_manifest(directory)


@pytest.mark.parametrize(
    ("name", "rom_id"),
    [("Shapes", "shapes"), ("SD 1.5 (pruned)", "sd-1.5-pruned"), ("__x__", "x"), ("城", "rom"), ("a" * 99, "a" * 63)],
)
def test_directory_name_becomes_an_id(name: str, rom_id: str) -> None:
    assert slug(name) == rom_id


@pytest.mark.parametrize("path", ["../other/weights.safetensors", "/etc/passwd", "unet/../../x", ""])
def test_a_file_outside_the_rom_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        RomFile(path=path, bytes=1, sha256=DIGEST)


def test_no_preset_is_named_none(directory: Path) -> None:
    assert "presets" in refusal(directory, presets={"none": {}})
