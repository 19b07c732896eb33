"""`cartridge eval` from the command line to its reports, of ROMs, of folders, and of what cannot be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import app as package
from evaluation.command import main
from evaluation.folder import read_pictures, write_pictures
from tests.support.loras import write_lora_rom
from tests.support.public_layouts import in_half_precision_alone
from tests.support.tiny_rom import build_tiny_rom
from training.drawing import draw_scene
from training.recipes.clip import CLIP
from training.scenes import random_spec

_FAKE = Path(__file__).resolve().parents[2] / "roms" / "fake"
_NO_CLIP = Path("nowhere")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    CLIP.smoke().make(folder / "work", folder / "store")
    return folder / "store" / "clip"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    write_pictures([draw_scene(random_spec(rng), rng) for _ in range(12)], folder)
    return folder


def _json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    main([str(argument) for argument in (*arguments, "--json")], embedded_clip=_NO_CLIP)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as refused:
        main([str(argument) for argument in arguments], "cartridge eval", _NO_CLIP)
    said = refused.value.code if isinstance(refused.value.code, str) else capsys.readouterr().err.strip()
    assert refused.value.code != 0
    assert len(said.splitlines()) == 1, said
    assert said.startswith("cartridge eval: ")
    return said.removeprefix("cartridge eval: ")


def test_a_folder_and_itself(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--metrics", "fid,prdc,diversity", "--reference", pictures, "--features", "oracle", "--output", tmp_path]
    metrics = _json(capsys, pictures, *asked)["metrics"]
    assert metrics["fid"] == {"fid": 0, "features": "oracle", "pictures": 12, "reference_pictures": 12}
    assert (metrics["prdc"]["precision"], metrics["prdc"]["coverage"]) == (1, 1)
    assert 1 < metrics["diversity"]["vendi_score"] < 12
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"] == metrics
    assert "features: oracle; pictures: 12" in (tmp_path / "metrics.md").read_text()


def test_the_clip_score_of_a_folder(
    clip: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"{number} red stars" for number in range(12)))
    asked = ["--metrics", "clip_score,diversity", "--clip", clip, "--prompts", prompts, "--output", tmp_path / "out"]
    metrics = _json(capsys, pictures, *asked)["metrics"]
    assert 0 <= metrics["clip_score"]["clip_score"] <= 2.5
    assert metrics["clip_score"]["clip"] == metrics["diversity"]["features"].removeprefix("CLIP ") == "clip"


def test_a_rom_is_generated_from_and_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a boat\n\na house\n")
    asked = ["--metrics", "speed", "--prompts", prompts, "--steps", "3", "--output", tmp_path]
    speed = _json(capsys, _FAKE, *asked)["metrics"]["speed"]
    assert speed["steps"] == 3
    assert 0 < speed["step_s"] <= speed["image_s"]


def test_a_lora_is_over_the_base_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a boat\n")
    base = build_tiny_rom(tmp_path / "roms" / "base")
    ink = write_lora_rom(tmp_path / "roms" / "ink", base)
    asked = ["--metrics", "speed", "--prompts", prompts, "--steps", "2", "--output", tmp_path / "out"]
    assert _json(capsys, ink, *asked)["metrics"]["speed"]["steps"] == 2
    base.rename(tmp_path / "elsewhere")
    assert _refusal(capsys, ink, *asked).startswith(f"ROM: {ink} cannot be loaded: its base: no ROM has the id 'base'")


def test_roms_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roms = _json(capsys, _FAKE, _FAKE, "--limit", "2", "--output", tmp_path)["roms"]
    assert [rom["name"] for rom in roms] == ["fake", "fake"]
    assert roms[0]["ratio"] == 1
    assert (tmp_path / "side_by_side.png").exists()


def test_a_public_layout_is_swept(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rom = build_tiny_rom(tmp_path / "rom")
    in_half_precision_alone(rom)
    asked = ["--sweep", "--sweep-scales", "1,3", "--sweep-steps", "1,2", "--limit", "2", "--clip", clip]
    points = _json(capsys, rom, *asked, "--output", tmp_path / "out")["sweep"]
    assert [(point["num_inference_steps"], point["guidance_scale"]) for point in points] == [
        (1, 1.0),
        (1, 3.0),
        (2, 1.0),
        (2, 3.0),
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"sweep.csv", "sweep.md", "sweep.png"}
    assert "FID (CLIP clip)" in (tmp_path / "out" / "sweep.md").read_text()


def test_pictures_survive_the_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 12, 3), dtype=np.uint8) for _ in range(11)]
    write_pictures(images, tmp_path / "out")
    assert all(np.array_equal(one, other) for one, other in zip(images, read_pictures(tmp_path / "out"), strict=True))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ROM", "--metrics", "fidd"], "--metrics: there is no metric 'fidd'; there are: alignment, clip_score"),
        (["ROM", "--metrics", ","], "--metrics: names none"),
        (["ROM", "--steps", "0"], "--steps: must be a whole number above 0, not '0'"),
        (["ROM", "--steps", "51", "--metrics", "speed"], "--steps: must be 1 to 50 for ROM 'fake', not 51"),
        (["ROM", "--sweep", "--sweep-steps", "4,x"], "--sweep-steps: must be a whole number above 0, not 'x'"),
        (["ROM", "--sweep"], "--clip: a CLIP score needs the folder of a CLIP"),
        (["ROM", "--guidance-scale", "-1"], "--guidance-scale: must be a number from 0 on, not '-1'"),
        (["ROM", "ROM", "--sweep"], "--sweep: takes one ROM"),
        (["ROM", "--sweep", "--metrics", "fid"], "--metrics: a sweep measures FID and CLIP score"),
        (["ROM", "ROM", "--metrics", "fid"], "--metrics: a sweep measures FID and CLIP score, several ROMs are timed"),
        (["ROM", "--metrics", "clip_score"], "--clip: a CLIP score needs the folder of a CLIP"),
        (["ROM", "--metrics", "fid", "--features", "clip"], "--features: clip: no CLIP is given"),
        (["ROM", "--metrics", "fid", "--clip", "EMPTY"], "--clip: EMPTY is no CLIP in the layout of transformers"),
        (["ROM", "--metrics", "fid", "--reference", "nowhere"], "--reference: nowhere is no folder"),
        (["ROM", "--metrics", "fid", "--reference", "EMPTY"], "--reference: EMPTY holds no pictures"),
        (["ROM", "--prompts", "nowhere"], "--metrics: alignment judges pictures of its own prompts only"),
        (["ROM", "--metrics", "speed", "--prompts", "nowhere"], "--prompts: nowhere cannot be read"),
        (["ROM", "--limit", "1"], "--metrics: alignment judges pictures of scenes: expected uint8 [128, 128, 3]"),
        (["nowhere"], "ROM: nowhere is not there"),
        (["EMPTY"], "ROM: EMPTY holds neither rom.yaml nor model_index.json, and no pictures"),
        (["PICTURES"], "--metrics: PICTURES holds pictures, which have clip_score, fid, prdc, diversity only"),
        (["PICTURES", "--metrics", "fid"], "--reference: fid and prdc need pictures to compare with"),
        (["PICTURES", "--metrics", "clip_score"], "--prompts: the clip_score of a folder needs a file with a prompt"),
        ([], "the following arguments are required: ROM"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_option(
    arguments: list[str], said: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {"ROM": str(_FAKE), "EMPTY": str(tmp_path), "PICTURES": str(pictures)}
    for name, folder in folders.items():
        said = said.replace(f" {name} ", f" {folder} ") if name != "ROM" else said
    given = [folders.get(argument, argument) for argument in arguments]
    if "--metrics" not in given and given[:1] == [str(pictures)]:
        given += ["--metrics", "alignment"]
    assert _refusal(capsys, *given).startswith(said)


def test_an_install_without_evaluation_says_so(tmp_path: Path) -> None:
    shutil.copytree(Path(package.__file__).parent, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", "from app.cli.main import app; app()", "eval", "rom"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "cartridge eval: this install does not carry evaluation/ (evaluation is missing); use a checkout"
    )
