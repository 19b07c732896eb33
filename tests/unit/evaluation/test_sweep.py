"""The sweep of a ROM whose numbers are known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from evaluation.generator import Sampling
from evaluation.sweep import SweepPoint, plot, sweep, table


def _point(sampling: Sampling) -> SweepPoint:
    steps, scale = sampling.num_inference_steps or 0, sampling.guidance_scale or 0.0
    return SweepPoint(scale, steps, fid=100 / steps + scale, clip_score=1 + scale / 10, image_s=0.01 * steps)


def test_every_setting_is_a_row_of_the_csv(tmp_path: Path) -> None:
    points = sweep(_point, (1.0, 7.5), (20, 4), tmp_path / "sweep.csv")
    assert [(point.num_inference_steps, point.guidance_scale) for point in points] == [
        (4, 1.0),
        (4, 7.5),
        (20, 1.0),
        (20, 7.5),
    ]
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["fid"]) for row in rows] == [26.0, 32.5, 6.0, 12.5]
    assert rows[3] == {
        "guidance_scale": "7.5",
        "num_inference_steps": "20",
        "fid": "12.5",
        "clip_score": "1.75",
        "image_s": "0.2",
    }


def test_a_sweep_that_is_broken_off_leaves_what_it_knows(tmp_path: Path) -> None:
    def measure(sampling: Sampling) -> SweepPoint:
        if sampling.guidance_scale == 2.0:
            raise KeyboardInterrupt
        return _point(sampling)

    with pytest.raises(KeyboardInterrupt):
        sweep(measure, (1.0, 2.0), (4,), tmp_path / "sweep.csv")
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 2


def test_the_table_has_a_row_a_scale_and_a_column_a_number_of_steps() -> None:
    points = [_point(Sampling(steps, scale)) for steps in (4, 20) for scale in (1.0, 7.5)][:3]
    assert table(points).splitlines() == [
        "| guidance scale | 4 steps | 20 steps |",
        "|---:|---:|---:|",
        "| 1 | 26 / 1.100 | 6 / 1.100 |",
        "| 7.5 | 32.5 / 1.750 | - |",
    ]


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    plot([_point(Sampling(4, scale)) for scale in (1.0, 2.0)], "known", tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as image:
        assert image.size == (660, 495)
