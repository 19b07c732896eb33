"""The numbers of a router, for people, for machines and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from evaluation.router.scores import RouterScores

_PERCENT = ("top1", "top2", "rejected")
_COLUMNS = ("top1", "top2", "ece", "out_of_domain_auroc", "decision_p50_ms", "rejected")
_PRINTED = ("top1", "top2", "ece", "out_of_domain_auroc", "decision_p50_ms", "confusion", "labels")


def document(scores: RouterScores) -> dict[str, object]:
    """What `--json` prints."""
    values = asdict(scores)
    return {name: values[name] for name in _PRINTED}


def table(by_source: Mapping[str, RouterScores]) -> str:
    """Markdown: a row a source."""
    lines = [
        "| source | top1 % | top2 % | ECE | out-of-domain AUROC | decision p50 ms | flagged of the domains' own % |",
        "|---|" + "---:|" * len(_COLUMNS),
    ]
    for source, scores in by_source.items():
        lines.append(f"| {source} | " + " | ".join(_shown(name, scores) for name in _COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def confusion_table(scores: RouterScores) -> str:
    """Markdown: a row for each true domain, a column for each decision."""
    lines = ["| true \\ decided | " + " | ".join(scores.labels) + " |", "|---|" + "---:|" * len(scores.labels)]
    for label, row in zip(scores.labels, scores.confusion, strict=True):
        lines.append(f"| {label} | " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines) + "\n"


def write(by_source: Mapping[str, RouterScores], title: str, directory: Path) -> None:
    """router.md, router.json and confusion.png of the first source, in `directory`, which is made when absent."""
    directory.mkdir(parents=True, exist_ok=True)
    first = next(iter(by_source.values()))
    text = f"{title}\n\n{table(by_source)}\n{confusion_table(first)}"
    (directory / "router.md").write_text(text, encoding="utf-8")
    content = {"title": title, "sources": {source: asdict(scores) for source, scores in by_source.items()}}
    (directory / "router.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    plot(first, title, directory / "confusion.png")


def plot(scores: RouterScores, title: str, path: Path) -> None:
    """The confusion matrix with its counts; a row is shaded by its shares."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    counts = np.array(scores.confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = 2.5 + 0.6 * len(scores.labels)
    figure, axis = pyplot.subplots(figsize=(side, side))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(scores.labels)), scores.labels, rotation=45, ha="right")
    axis.set_yticks(range(len(scores.labels)), scores.labels)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axis.text(
                column, row, str(count), ha="center", va="center", color="w" if shares[row, column] > 0.5 else "k"
            )
    axis.set(xlabel="decided", ylabel="true", title=title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _shown(name: str, scores: RouterScores) -> str:
    value: float | None = getattr(scores, name)
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if name in _PERCENT else f"{value:.3f}"
