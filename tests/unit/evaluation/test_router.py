"""`cartridge eval-router`: numbers against hand-computed ones and scikit-learn's, files that are wrong, reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.metrics import roc_auc_score

from evaluation.router.command import main
from evaluation.router.prompts import read_catalog
from evaluation.router.scores import Decision, auroc, calibration_error, score
from tests.support.domains import fruit_and_trains

PROMPTS = [
    {"prompt": "ripe pears on a plate", "domain": "fruit"},
    {"prompt": "two sliced bananas", "domain": "fruit"},
    {"prompt": "an old steam locomotive", "domain": "trains"},
    {"prompt": "what is the boiling point of water", "domain": "out_of_domain"},
    {"prompt": "translate this into dutch", "domain": "elsewhere"},
]
KEYS = {"top1", "top2", "ece", "out_of_domain_auroc", "decision_p50_ms", "confusion", "labels"}


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    for rom_id, manifest in fruit_and_trains().items():
        (folder / rom_id).mkdir(parents=True)
        content = yaml.safe_dump(manifest.model_dump(mode="json", exclude_defaults=True))
        (folder / rom_id / "rom.yaml").write_text(content)
    (folder / "no-rom").mkdir()
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in PROMPTS) + "\n\n")
    return path


def decision(domain: str, ranked: str, confidence: float, outside: float = 0.0, flagged: bool = False) -> Decision:
    return Decision(domain, tuple(ranked), confidence, outside, flagged, seconds=0.002)


def test_calibration_error_by_hand() -> None:
    """Bins (0.5, 0.6] with 1 of 2 right at 0.55 and (0.9, 1] with 1 of 2 right at 0.95: 0.5 * 0.05 + 0.5 * 0.45."""
    found = calibration_error(np.array([0.52, 0.58, 0.92, 0.98]), np.array([True, False, True, False]))
    assert found == pytest.approx(0.25)
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0.0
    assert calibration_error(np.array([0.3, 0.25]), np.array([False, False])) == pytest.approx(0.275)


def test_auroc_is_scikit_learns_ties_included() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, positive = rng.integers(0, 8, size=50).astype(float), rng.random(50) < 0.4
        assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_auroc_of_one_class_is_not_a_number_to_show() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([True, True])) is None
    assert auroc(np.array([]), np.array([], dtype=bool)) is None


def test_scores_by_hand() -> None:
    found = score(
        [
            decision("a", "abc", 0.9, outside=0.1),
            decision("a", "bac", 0.6, outside=0.6, flagged=True),
            decision("b", "bca", 0.8, outside=0.2),
            decision("c", "abc", 0.5, outside=0.3),
            decision("x", "abc", 0.4, outside=0.7, flagged=True),
            decision("y", "bca", 0.7, outside=0.4),
        ],
        ("a", "b", "c"),
    )
    assert found.top1 == pytest.approx(2 / 4)
    assert found.top2 == pytest.approx(3 / 4)
    assert found.ece == pytest.approx((0.1 + 0.6 + 0.2 + 0.5) / 4)  # each in a bin of its own
    assert found.out_of_domain_auroc == pytest.approx(7 / 8)
    assert found.decision_p50_ms == pytest.approx(2.0)
    assert found.rejected == pytest.approx(1 / 4)
    assert found.labels == ("a", "b", "c", "out_of_domain")
    assert found.confusion == ((1, 0, 0, 1), (0, 1, 0, 0), (1, 0, 0, 0), (0, 1, 0, 1))


def test_prompts_of_no_domain_leave_accuracy_open() -> None:
    found = score([decision("x", "ab", 0.9)], ("a", "b"))
    assert (found.top1, found.top2, found.ece, found.out_of_domain_auroc, found.rejected) == (None,) * 5


def test_one_json_object_is_printed(catalog: Path, prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--prompts", str(prompts), "--catalog", str(catalog), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found) == KEYS
    assert found["labels"] == ["fruit", "trains", "out_of_domain"]
    assert found["top1"] == found["top2"] == 1.0
    assert found["out_of_domain_auroc"] == 1.0
    assert np.array(found["confusion"]).sum(axis=1).tolist() == [2, 1, 2]
    assert 0 < found["decision_p50_ms"] < 100


def test_a_table_is_printed(catalog: Path, prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--prompts", str(prompts), "--catalog", str(catalog), "--mode", "rules"])
    printed = capsys.readouterr().out
    assert "prompts.jsonl: 5 prompts, 3 ROMs" in printed
    assert "| rules | 100.0 | 100.0 |" in printed
    assert "| true \\ decided | fruit | trains | out_of_domain |" in printed


def test_a_report_holds_every_source(catalog: Path, prompts: Path, tmp_path: Path) -> None:
    main(["--prompts", str(prompts), "--catalog", str(catalog), "--output", str(tmp_path / "report")])
    content = json.loads((tmp_path / "report" / "router.json").read_text())
    assert list(content["sources"]) == ["auto", "rules", "classifier"]
    assert content["sources"]["auto"]["rejected"] is not None
    text = (tmp_path / "report" / "router.md").read_text()
    assert all(f"| {name} |" in text for name in ("auto", "rules", "classifier"))
    with Image.open(tmp_path / "report" / "confusion.png") as picture:
        assert min(picture.size) > 200


def test_instruments_are_not_routed_to(catalog: Path) -> None:
    (catalog / "clip").mkdir()
    (catalog / "clip" / "rom.yaml").write_text("id: clip\nfamily: clip\n")
    assert list(read_catalog(catalog)) == ["fruit", "fruit-fast", "trains"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "prompts.jsonl:2: no JSON"),
        ("[1]", "prompts.jsonl:2: must be an object"),
        ('{"domain": "fruit"}', "prompts.jsonl:2: prompt must be a string"),
        ('{"prompt": "a pear"}', "prompts.jsonl:2: domain must be a string"),
        ('{"prompt": 3, "domain": "fruit"}', "prompts.jsonl:2: prompt must be a string"),
    ],
)
def test_a_wrong_line_is_named(catalog: Path, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps(PROMPTS[0]) + "\n" + line + "\n")
    with pytest.raises(SystemExit, match=message):
        main(["--prompts", str(path), "--catalog", str(catalog)])


def test_what_is_missing_is_named(catalog: Path, prompts: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"none\.jsonl"):
        main(["--prompts", str(tmp_path / "none.jsonl"), "--catalog", str(catalog)])
    with pytest.raises(SystemExit, match=r"no folder in it has a rom\.yaml"):
        main(["--prompts", str(prompts), "--catalog", str(catalog / "no-rom")])
    with pytest.raises(SystemExit, match="similarity"):
        main(["--prompts", str(prompts), "--catalog", str(catalog), "--mode", "similarity"])
    with pytest.raises(SystemExit, match="--clip"):
        main(["--prompts", str(prompts), "--catalog", str(catalog), "--clip", str(tmp_path)])
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(SystemExit, match=r"empty\.jsonl: holds no prompts"):
        main(["--prompts", str(empty), "--catalog", str(catalog)])


def test_a_manifest_that_is_wrong_is_named(catalog: Path, prompts: Path) -> None:
    (catalog / "trains" / "rom.yaml").write_text("id: trains\ndomain: {colour: red}\n")
    with pytest.raises(SystemExit, match=r"catalog/trains: rom\.yaml: domain\.colour"):
        main(["--prompts", str(prompts), "--catalog", str(catalog)])


def test_the_command_is_there(catalog: Path, prompts: Path) -> None:
    command = [sys.executable, "-c", "from app.cli.main import app; app()", "eval-router"]
    told = ["--prompts", str(prompts), "--catalog", str(catalog), "--json"]
    done = subprocess.run(command + told, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == KEYS
    done = subprocess.run([*command, "--mode", "guess"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("cartridge eval-router: --mode: invalid choice: 'guess'")
