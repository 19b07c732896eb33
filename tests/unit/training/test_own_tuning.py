"""A user's images taught to a ROM: what comes out is a ROM that our backend serves, and that paints otherwise."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import Catalog
from app.roms.library import RomLibrary
from app.roms.store import open_store
from app.roms.verification import VerifiedFiles
from tests.support.bench import alone, image_of
from tests.support.loras import write_lora_rom
from tests.support.own_data import write_captioned, write_celeba
from tests.support.tiny_clip import build_tiny_clip
from tests.support.tiny_rom import TinyRom, build_tiny_rom
from training.own.command import main, new_parser
from training.own.errors import OwnDataError

STEPS = "25"
DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "own-data.md").read_text(encoding="utf-8")


def train(root: Path, rom_id: str, *more: str, data: str = "faces", base: str = "tiny") -> None:
    """As the command line does, below `root`."""
    places = ["--data", str(root / data), "--store", str(root / "store"), "--work", str(root / "work" / rom_id)]
    asked = ["--id", rom_id, "--base", base, "--batch-size", "4", "--learning-rate", "0.01"]
    main([*places, *asked, *(() if "--steps" in more else ("--steps", STEPS)), *more])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of tiny models and two ROMs that were taught faces."""
    root = tmp_path_factory.mktemp("own")
    base = build_tiny_rom(root / "store" / "tiny")
    preset = {"num_inference_steps": 3, "guidance_scale": 2.0, "twin": "tiny-fast"}
    content = {"id": "tiny", "family": "stable_diffusion", "presets": {"default": preset}, "limits": {"max_steps": 9}}
    (base / "rom.yaml").write_text(yaml.safe_dump(content))
    write_celeba(root / "faces")
    train(root, "whole", "--full")
    train(root, "laid-over", "--lora", "2")
    return root


@pytest.fixture(scope="module")
def catalog(root: Path) -> Catalog:
    return RomLibrary([open_store(f"file://{root / 'store'}")]).catalog


def picture(catalog: Catalog, rom_id: str) -> bytes:
    return image_of(alone(load_backend(catalog.get(rom_id), LoadOptions("cpu", "float32")), prompt="photo of person"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def documented_use(embeddings: Path) -> list[str]:
    """Run the example of the document on this file; returns the images that it finds typical, sorted."""
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    found: dict[str, Any] = {}
    exec(example.replace("build/training/my-rom/embeddings.safetensors", str(embeddings)), found)
    assert found["nearest"] == {"a.png": "b.jpg", "b.jpg": "a.png"}
    assert found["scores"].shape == (2,)
    return sorted(found["typical"])


def test_every_option_is_documented() -> None:
    options = {name for action in new_parser()._actions for name in action.option_strings} - {"-h", "--help"}
    assert {name for name in options if f"`{name}" not in DOCUMENT and f" {name} " not in DOCUMENT} == set()


def test_both_are_served_and_paint_otherwise_than_the_base(catalog: Catalog) -> None:
    assert len({picture(catalog, name) for name in ("tiny", "whole", "laid-over")}) == 3


def test_files_have_their_digests(catalog: Catalog) -> None:
    for name in ("whole", "laid-over"):
        rom = catalog.get(name)
        assert rom.manifest.files
        VerifiedFiles().check(rom.directory, rom.manifest.files)


def test_the_whole_one_is_its_base_but_for_the_unet(root: Path) -> None:
    base, whole = files(root / "store" / "tiny"), files(root / "store" / "whole")
    differing = {name for name in base if base[name] != whole[name]}
    assert differing == {"rom.yaml", "unet/diffusion_pytorch_model.safetensors"}
    assert whole.keys() - base.keys() == {"loss.png", "samples.png"}


def test_the_lora_is_of_attention_alone_in_diffusers_names(root: Path, catalog: Catalog) -> None:
    tensors = load_file(root / "store" / "laid-over" / "lora.safetensors")
    assert all(name.startswith("unet.") and ".attn" in name for name in tensors)
    assert {name.rsplit(".", 2)[1] for name in tensors} == {"lora_A", "lora_B"}
    assert {min(tensor.shape) for tensor in tensors.values()} == {2}
    assert catalog.get("laid-over").base is catalog.get("tiny")


@pytest.mark.parametrize("name", ["whole", "laid-over"])
def test_manifests_have_the_captions_words_and_the_bases_presets(root: Path, catalog: Catalog, name: str) -> None:
    manifest, base = catalog.get(name).manifest, catalog.get("tiny").manifest
    assert {"person", "eyebrows", "smiling", "beard"} <= set(manifest.domain.keywords)
    assert "photo of person, bushy eyebrows, smiling" in manifest.domain.examples
    assert manifest.limits == base.limits
    assert manifest.presets["default"] == base.presets["default"].model_copy(update={"twin": None})
    for sheet in ("samples.png", "loss.png"):
        with Image.open(root / "store" / name / sheet) as image:
            assert image.size[0] > 100


def test_a_second_run_takes_up_what_the_first_left(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(root / "store" / "whole")
    train(root, "whole", "--full")
    assert "6 images of 16x16" in (said := capsys.readouterr().out)
    assert " 0 rows of them new" in said
    assert files(root / "store" / "whole") == before


def test_other_options_do_not_go_on_from_a_checkpoint_of_these(root: Path) -> None:
    before = files(root / "store" / "laid-over")
    train(root, "laid-over", "--lora", "1", "--steps", "1")
    train(root, "laid-over", "--lora", "2", "--steps", "1")
    assert len(list((root / "work" / "laid-over").glob("run-*"))) >= 3
    assert len(list((root / "work" / "laid-over").glob("embeddings.safetensors"))) == 1
    train(root, "laid-over", "--lora", "2")
    assert files(root / "store" / "laid-over") == before


def test_texts_beside_images_and_a_clip(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_captioned(root / "cats", {"a.png": "a cat", "b.jpg": "the cat " * 12})
    clip = build_tiny_clip(tmp_path / "clip")
    train(root, "cats", "--clip", str(clip), "--steps", "1", data="cats")
    said = capsys.readouterr().out
    assert "CLIP similarity of 2 images" in said
    assert "a.png: a cat" in said
    assert "1 captions are longer than the 16 tokens that tiny reads" in said
    assert documented_use(root / "work" / "cats" / "embeddings.safetensors") == ["a.png", "b.jpg"]
    shutil.rmtree(root / "store" / "cats")


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_bases_of_every_prediction_type(tmp_path: Path, prediction_type: str) -> None:
    schedule = {"beta_start": 0.001, "beta_end": 0.01, "prediction_type": prediction_type}
    build_tiny_rom(
        tmp_path / "store" / "tiny", TinyRom(scheduler_class="EulerDiscreteScheduler", scheduler_config=schedule)
    )
    write_captioned(tmp_path / "faces", {"a.png": "a cat"})
    (tmp_path / "store" / "tiny" / "rom.yaml").write_text(
        "{id: tiny, family: stable_diffusion, presets: {default: {num_inference_steps: 2}}}"
    )
    train(tmp_path, "taught", "--steps", "2")
    assert (tmp_path / "store" / "taught" / "unet" / "diffusion_pytorch_model.safetensors").is_file()


BAD_BASES: dict[str, tuple[TinyRom, str]] = {
    "xl": (TinyRom("sdxl"), "of the family 'stable_diffusion_xl'"),
    "inpainting": (TinyRom(unet_channels=9), "9 input channels"),
    "tiny-decoder": (TinyRom(autoencoder="AutoencoderTiny"), "no AutoencoderKL"),
    "flow": (TinyRom(scheduler_class="FlowMatchEulerDiscreteScheduler", scheduler_config={}), "without betas"),
}


@pytest.mark.parametrize("name", BAD_BASES)
def test_bases_that_cannot_be_taught(tmp_path: Path, name: str) -> None:
    options, message = BAD_BASES[name]
    build_tiny_rom(tmp_path / "store" / name, options)
    write_captioned(tmp_path / "faces", {"a.png": "a cat"})
    with pytest.raises(SystemExit, match=message):
        train(tmp_path, "taught", base=name)


def test_a_base_that_is_no_model(root: Path, tmp_path: Path) -> None:
    write_captioned(tmp_path / "faces", {"a.png": "a cat"})
    write_lora_rom(tmp_path / "store" / "ink", root / "store" / "tiny")
    with pytest.raises(SystemExit, match="ink is itself a LoRA; its base can be taught: --base tiny"):
        train(tmp_path, "taught", base="ink")
    with pytest.raises(SystemExit, match="nothing is no ROM that can be loaded"):
        train(tmp_path, "taught", base="nothing")


@pytest.mark.parametrize(
    ("rom_id", "message"), [("tiny", "choose another --id"), ("My ROM", "lower case letters")], ids=["taken", "odd"]
)
def test_ids_that_cannot_be_given(root: Path, rom_id: str, message: str) -> None:
    before = files(root / "store" / "tiny")
    with pytest.raises(SystemExit, match=message):
        train(root, rom_id)
    assert files(root / "store" / "tiny") == before


def test_errors_of_the_data_end_the_command_with_their_message(root: Path) -> None:
    with pytest.raises(SystemExit, match=f"{root / 'nowhere'} is no folder") as caught:
        train(root, "taught", data="nowhere")
    assert isinstance(caught.value.__cause__ or caught.value.__context__, OwnDataError)


@pytest.mark.parametrize(
    ("option", "value"), [("--steps", "0"), ("--lora", "-1"), ("--learning-rate", "fast"), ("--learning-rate", "0")]
)
def test_numbers_that_make_no_sense_are_named(
    root: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        train(root, "taught", f"{option}={value}")
    assert f"argument {option}: {value!r} is no" in capsys.readouterr().err


def test_a_template_without_a_place_for_attributes(root: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no \{attributes\} in it"):
        train(root, "taught", "--template", "a photo")
