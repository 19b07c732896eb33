"""`cartridge roms add`: a public model's manifest and the weights that somebody has, made one ROM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from app.roms.verification import VerifiedFiles
from tests.support.buckets import KIB, Bucket, same_files, write_rom
from tests.support.public_layouts import (
    beside_other_folders,
    in_several_variants,
    with_a_safety_checker_that_was_deleted,
)
from tests.support.tiny_roms import TinyRoms
from tests.support.upscalers import build_x4_upscaler

ROOT = Path(__file__).resolve().parent.parent.parent
CARTRIDGE = Path(sys.executable).with_name("cartridge")


def add(rom_id: str, source: Path | str, store: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(CARTRIDGE), "roms", "add", rom_id, "--from", str(source), "--to", str(store), *options]
    environ = {**os.environ, "CARTRIDGE_CACHE_DIR": str(store.parent / "cache")}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def refused(done: subprocess.CompletedProcess[str], told: str, store: Path) -> None:
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not store.exists() or not list(store.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("rom_id", "tiny"), [("sd-1-5", "sd"), ("sdxl-base-1-0", "sdxl"), ("sd-1-5-inpainting", "sd inpainting")]
)
def test_public_repository_becomes_a_rom_that_loads(
    tiny_roms: TinyRoms, store: Path, tmp_path: Path, rom_id: str, tiny: str
) -> None:
    repository = shutil.copytree(tiny_roms[tiny], tmp_path / "repository")
    in_several_variants(repository)
    beside_other_folders(repository)
    with_a_safety_checker_that_was_deleted(repository)
    done = add(rom_id, repository, store)
    assert (done.returncode, done.stdout) == (0, f"{rom_id}  {store / rom_id}\n"), done.stderr
    rom = read_rom(store / rom_id)
    assert rom.manifest.license
    assert len(rom.manifest.domain.examples) >= 30
    VerifiedFiles().check(rom.directory, rom.manifest.files)
    load_backend(rom, LoadOptions("cpu", "float32")).unload()


def test_upscaler_becomes_a_rom(store: Path, tmp_path: Path) -> None:
    done = add("sd-x4-upscaler", build_x4_upscaler(tmp_path / "upscaler"), store)
    assert done.returncode == 0, done.stderr
    assert read_rom(store / "sd-x4-upscaler").factors == (4,)


def test_model_of_another_size_is_made_and_doubted(tiny_roms: TinyRoms, store: Path) -> None:
    done = add("bk-sdm-small", tiny_roms["sd"], store)
    assert done.returncode == 0
    assert "is this the right model?" in done.stderr


def test_weights_in_a_bucket_become_a_rom(bucket: Bucket, store: Path, tmp_path: Path) -> None:
    original = write_rom(tmp_path / "downloaded", 200 * KIB)
    bucket.sync(original)
    source = bucket.source.replace("/roms/", "/roms/downloaded/")
    done = add("sd-1-4", source, store)
    assert done.returncode == 0, done.stderr
    rom = read_rom(store / "sd-1-4")
    VerifiedFiles().check(rom.directory, rom.manifest.files)
    (rom.directory / "rom.yaml").unlink()
    assert same_files(rom.directory, original)
    assert not any(path.is_symlink() for path in rom.directory.rglob("*"))


def test_of_a_bucket_with_several_the_one_of_this_name_is_taken(bucket: Bucket, store: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("sd-1-4", "sd-1-5")):
        bucket.sync(write_rom(tmp_path / name, 200 * KIB, seed))
    assert add("sd-1-5", bucket.source, store).returncode == 0
    weights = "unet/model.safetensors"
    assert (store / "sd-1-5" / weights).read_bytes() == (tmp_path / "sd-1-5" / weights).read_bytes()
    shutil.rmtree(store)
    refused(add("openjourney", bucket.source, store), "more than one other: sd-1-4, sd-1-5", store)


def test_bucket_that_does_not_fit_is_refused_before_its_weights_are_here(
    bucket: Bucket, store: Path, tmp_path: Path
) -> None:
    refused(add("sd-1-4", bucket.source, store), "there is no ROM in it", store)
    bucket.sync(write_rom(tmp_path / "downloaded", 200 * KIB))
    told = "'ssd-1b' is of family 'stable_diffusion_xl'"
    refused(add("ssd-1b", bucket.source, store), told, store)
    blobs = (tmp_path / "cache" / "blobs").glob("*")
    assert sum(blob.stat().st_size for blob in blobs) < 200 * KIB


def test_what_is_wrong_is_one_line(tiny_roms: TinyRoms, store: Path, tmp_path: Path) -> None:
    refused(add("sd-1-6", tiny_roms["sd"], store), "has no 'sd-1-6'; it has: bk-sdm-small, ", store)
    refused(add("ssd-1b", tiny_roms["sd"], store), "'ssd-1b' is of family 'stable_diffusion_xl'", store)
    refused(add("sd-1-4", tmp_path / "nowhere", store), "nowhere is not there", store)
    refused(add("sd-1-4", "s3://A", store), "s3://A is not s3://bucket/prefix", store)


def test_rom_that_is_there_is_not_touched(tiny_roms: TinyRoms, store: Path) -> None:
    assert add("sd-1-4", tiny_roms["sd"], store).returncode == 0
    before = (store / "sd-1-4" / "rom.yaml").stat().st_mtime_ns
    done = add("sd-1-4", tiny_roms["sd"], store)
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert (store / "sd-1-4" / "rom.yaml").stat().st_mtime_ns == before
