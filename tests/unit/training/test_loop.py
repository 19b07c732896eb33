"""The training loop: what a power cut must not change."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from training.loop import Draw, LoopConfig, train


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


def test_the_seconds_before_a_run_was_resumed_count(tmp_path: Path) -> None:
    def run(steps: int) -> None:
        line = torch.nn.Linear(4, 1)
        config = LoopConfig(steps=steps, batch_size=4, learning_rate=0.05, warmup_steps=2)
        train("line", line, lambda _: line(torch.ones(4, 4)).square().mean(), config, tmp_path)

    run(steps=20)
    checkpoint = tmp_path / "line.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    state["past"]["seconds"] += 3600
    torch.save(state, checkpoint)
    run(steps=40)
    with (tmp_path / "line.csv").open(newline="") as file:
        first, second = (float(row["seconds"]) for row in csv.DictReader(file))
    assert 0 <= first < 3600 <= second
