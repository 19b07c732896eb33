"""`cartridge`, as it is typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from deploy.running import ROOT, free_port
from tests.support.roms import write_manifest
from tests.support.serving import PATIENCE_S, Serving

CARTRIDGE = Path(sys.executable).with_name("cartridge")


def cartridge(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(CARTRIDGE), *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_invoke_saves_the_image_and_names_its_seed(service: Serving, tmp_path: Path) -> None:
    done = cartridge("invoke", "a red star", "--seed", "7", "--url", service.local.url, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "image.png  seed 7" in done.stdout
    with Image.open(tmp_path / "image.png") as image:
        assert (image.format, image.size) == ("PNG", (64, 64))


def test_invoke_saves_several_in_the_format_of_the_files_name(service: Serving, tmp_path: Path) -> None:
    done = cartridge("invoke", "a red star", "-n", "2", "-o", "a.jpg", "--url", service.local.url, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "a.jpg") as first, Image.open(tmp_path / "a-1.jpg") as second:
        assert (first.format, second.format) == ("JPEG", "JPEG")


def test_invoke_tells_what_the_service_has_against_it(service: Serving) -> None:
    done = cartridge("invoke", "a red star", "--model", "fke", "--url", service.local.url)
    assert done.returncode == 1
    assert "404: no ROM has the id 'fke'; near: fake" in done.stderr


def test_invoke_passes_on_what_is_to_be_done_at_a_deadline(service: Serving, tmp_path: Path) -> None:
    options = ("--timeout-s", "20", "--on-deadline", "degrade", "--url", service.local.url)
    assert cartridge("invoke", "a red star", *options, directory=tmp_path).returncode == 0
    wrong = cartridge("invoke", "a red star", "--on-deadline", "never", "--url", service.local.url)
    assert wrong.returncode == 1
    assert "422: on_deadline" in wrong.stderr


def test_invoke_shows_a_person_how_far_it_is(service: Serving, tmp_path: Path) -> None:
    screen, terminal = os.openpty()
    command = [str(CARTRIDGE), "invoke", "a red star", "--steps", "3", "--url", service.local.url]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=terminal, timeout=PATIENCE_S, check=False
    )
    os.close(terminal)
    shown = os.read(screen, 4096).decode()
    os.close(screen)
    assert done.returncode == 0
    assert [f"step {number} of 3" in shown for number in (1, 2, 3)] == [True] * 3


def test_invoke_that_is_interrupted_cancels_its_request(service: Serving, tmp_path: Path) -> None:
    asked = ("--model", "endless", "--steps", "1000", "-n", "64", "--url", service.local.url)
    process = subprocess.Popen(
        [str(CARTRIDGE), "invoke", "a red star", *asked],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a job in the background ignores
    )
    service.until_depth(1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert b"Traceback" not in stderr
    service.until_depth(0)
    assert not list(tmp_path.iterdir())


def test_invoke_tells_where_nobody_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = cartridge("invoke", "a red star", "--url", url)
    assert done.returncode == 1
    assert f"{url} does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_roms_list_shows_the_roms_of_a_service(service: Serving) -> None:
    done = cartridge("roms", "list", "--url", service.local.url)
    assert done.returncode == 0, done.stderr
    _, *rows = (line.split() for line in done.stdout.splitlines())
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("fake", "fake", "resident"),
        ("endless", "fake", "resident"),
        ("tiny", "stable_diffusion", "resident"),
    ]


def test_roms_list_shows_the_roms_of_a_directory_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    write_manifest(tmp_path / "sound")
    write_manifest(tmp_path / "odd", presets={"default": {"num_inference_steps": 0}})
    done = cartridge("roms", "list", str(tmp_path))
    assert done.returncode == 0, done.stderr
    _, sound, odd = done.stdout.splitlines()
    assert sound.split() == ["sound", "fake", "0", "on", "disk"]
    assert odd.startswith("odd")
    assert "broken: rom.yaml: presets.default.num_inference_steps" in odd


def test_roms_convert_makes_a_file_that_is_read(tmp_path: Path) -> None:
    tensors = {f"{prefix}x": torch.zeros(2) for prefix in ("model.diffusion_model.", "first_stage_model.")}
    torch.save({"state_dict": tensors | {"cond_stage_model.transformer.x": torch.zeros(2)}}, tmp_path / "dream.ckpt")
    refused = cartridge("roms", "list", str(tmp_path))
    assert "cartridge roms convert dream.ckpt" in refused.stdout
    done = cartridge("roms", "convert", "dream.ckpt", directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, "dream.safetensors  3 tensors\n"), done.stderr
    (tmp_path / "dream.ckpt").unlink()
    assert "dream  " in cartridge("roms", "list", str(tmp_path)).stdout


def test_roms_convert_of_what_holds_more_than_data_says_so_in_one_line(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2), "callback": Path("x")}, tmp_path / "dream.ckpt")
    done = cartridge("roms", "convert", str(tmp_path / "dream.ckpt"))
    assert done.returncode == 1
    assert "dream.ckpt is refused: it names pathlib" in done.stderr
    assert "Traceback" not in done.stderr


def test_roms_list_of_a_directory_that_is_not_there_says_so(tmp_path: Path) -> None:
    done = cartridge("roms", "list", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "is not a directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "from app.cli.main import app; app(['--help'], standalone_mode=False)",
        "import app.api.app",
        "import app.main",
    ],
)
def test_torch_is_not_imported_for(code: str) -> None:
    check = f"{code}; import sys; sys.exit(sorted({{'torch', 'diffusers', 'transformers'}} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
