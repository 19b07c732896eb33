"""What `training/ddpm.py` leaves behind: curves, samples, and the figure that has them side by side."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from torch import Tensor

matplotlib.use("Agg")

Row = tuple[int, float, float]  # step, mean loss since the row before, mean error of x_0 of unseen pictures
_BINS = 16  # of timesteps
_COLOURS = {"original": "tab:green", "previous": "tab:orange", "noise": "tab:blue"}


def write_result(directory: Path, target: str, curve: list[Row], errors: Tensor, samples: Tensor) -> None:
    """`<target>.csv`, `<target>-errors.csv` (from the least noise to the most) and `<target>.png`."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_csv(directory / f"{target}.csv", ("step", "loss", "error"), curve)
    bins = errors.reshape(_BINS, -1).mean(dim=1).tolist()
    _write_csv(directory / f"{target}-errors.csv", ("noise", "error"), list(enumerate(bins, start=1)))
    Image.fromarray(sheet(samples)).save(directory / f"{target}.png", optimize=True)


def sheet(samples: Tensor, enlarged: int = 2) -> np.ndarray:
    """Samples [n * n, 3, S, S] in -1..1 as one picture, uint8 [n * S * enlarged, n * S * enlarged, 3]."""
    rows, size = round(len(samples) ** 0.5), samples.shape[-1]
    pixels = ((samples.clamp(-1, 1) + 1) * 127.5).round().byte().reshape(rows, rows, 3, size, size)
    picture = pixels.permute(0, 3, 1, 4, 2).reshape(rows * size, rows * size, 3).numpy()
    return picture.repeat(enlarged, axis=0).repeat(enlarged, axis=1)


def draw_figure(directory: Path, targets: Sequence[str]) -> None:
    """`ddpm.png` from the files of every target: losses, the error they have in common, samples."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(10, 5.8), height_ratios=(0.6, 1), layout="constrained")
    for target, axis in zip(targets, axes[1], strict=True):
        curve, errors = _read_csv(directory / f"{target}.csv"), _read_csv(directory / f"{target}-errors.csv")
        style = {"label": target, "color": _COLOURS[target], "linewidth": 1.2}
        axes[0, 0].plot(curve[:, 0], curve[:, 1], **style)
        axes[0, 1].plot(curve[:, 0], curve[:, 2], **style)
        axes[0, 2].plot((errors[:, 0] - 0.5) / _BINS, errors[:, 1], **style)
        axis.imshow(pyplot.imread(directory / f"{target}.png"), interpolation="nearest")
        axis.set(title=f"samples of {target}", xticks=[], yticks=[])
    axes[0, 0].set(title="loss, of each its own", xlabel="step", yscale="log")
    axes[0, 1].set(title="error of unseen pictures", xlabel="step", yscale="log")
    axes[0, 2].set(title="the same in the end, by timestep", xlabel="t / T", yscale="log")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(directory / "ddpm.png", dpi=75, pil_kwargs={"optimize": True})
    pyplot.close(figure)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _read_csv(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
