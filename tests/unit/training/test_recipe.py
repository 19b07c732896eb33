"""A recipe, run with next to no work: all stages fit together, and what comes out is a ROM that our backend serves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.roms.catalog import read_rom
from app.roms.verification import VerifiedFiles
from training.__main__ import make_rom
from training.loop import Draw, LoopConfig, train
from training.recipes import SHAPES, smoke


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    make_rom(smoke(SHAPES), folder / "work", folder / "store")
    return folder / "store"


def test_a_recipe_ends_in_a_rom_with_digests(store: Path) -> None:
    rom = read_rom(store / "shapes")
    VerifiedFiles().check(rom.directory, rom.manifest.files)
    assert {"unet", "vae", "text_encoder"} <= {file.path.split("/")[0] for file in rom.manifest.files}


def test_the_rom_is_served_by_our_backend(store: Path) -> None:
    backend = load_backend(read_rom(store / "shapes"), LoadOptions("cpu", "float32"))
    pixels = backend.decode(torch.zeros(1, 4, 16, 16))
    assert pixels.shape == (1, 3, 128, 128)


def test_curves_and_samples_are_saved(store: Path) -> None:
    for name in ("loss.png", "samples.png"):
        with Image.open(store / "shapes" / name) as image:
            assert image.size[0] > 100


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    config = LoopConfig(steps=20, batch_size=4, learning_rate=0.05, warmup_steps=2, checkpoint_every_s=0)

    def run(directory: Path, power_cut_at: int | None = None) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 1)

        def loss(draw: Draw) -> torch.Tensor:
            if draw.step == power_cut_at:
                raise KeyboardInterrupt
            output: torch.Tensor = model(torch.randn(draw.batch_size, 4, generator=draw.torch))
            return output.square().mean()

        train("line", model, loss, config, directory)
        return model.weight.detach()

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", power_cut_at=7)
    assert torch.equal(run(tmp_path / "cut"), run(tmp_path / "unbroken"))
