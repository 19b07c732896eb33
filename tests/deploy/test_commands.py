"""The command line: dry runs as they were reviewed, and what people see.

`REVIEW=1 pytest tests/deploy/test_commands.py` writes the snapshots anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.sagemaker.commands import main
from deploy.sagemaker.endpoint import create
from deploy.sagemaker.names import content_name
from tests.deploy.conftest import ASYNC, BUCKET, MINIMAL, PATIENCE, ROOT, SERVERLESS, Account
from tests.deploy.test_use import answer, png, seed

SNAPSHOTS = Path(__file__).parent / "snapshots"
BATCH = {"batch": {"input": f"s3://{BUCKET}/in/", "output": f"s3://{BUCKET}/out/", "instance_type": "ml.g5.xlarge"}}
FULL: dict[str, Any] = {
    "instances": {"types": ["ml.g5.xlarge", "ml.g6.xlarge"], "count": 2},
    "autoscaling": {"min": 2, "max": 2},
    "rollout": {"strategy": "rolling", "step_percent": 50},
    "network_isolation": True,
    "vpc": {"subnets": ["subnet-0"], "security_groups": ["sg-0"]},
    "kms_key": "arn:aws:kms:us-east-1:123456789012:key/0",
    "tags": {"team": "pictures"},
}
CPU: dict[str, Any] = {"instances": {"types": ["ml.m5.xlarge"], "volume_gb": 40}, "kms_key": FULL["kms_key"]}


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


def write(path: Path, **fields: Any) -> str:
    content = {key: value for key, value in {**MINIMAL, **fields}.items() if value is not None}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command prints, errors included."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    told = capsys.readouterr()
    assert (ended.value.code or 0) == status, told.out + told.err
    return told.out + told.err


def review(name: str, text: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("REVIEW"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


KINDS = {"gpu": {}, "full": FULL, "async": ASYNC, "serverless": SERVERLESS, "cpu": CPU}


@pytest.mark.parametrize("kind", KINDS)
def test_dry_run_of_create(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = write(tmp_path / "endpoint.yaml", **KINDS[kind])
    run(capsys, "role", "--file", path)
    review(f"create-{kind}", run(capsys, "create", "--file", path, "--dry-run"))
    assert "not there" in run(capsys, "status", "--file", path)


def test_dry_run_of_update_and_delete(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scaled = {"autoscaling": {"min": 1, "max": 2}}
    config = account.configure(**scaled)
    create(account.calls, config, account.plan(config), PATIENCE)
    path = write(tmp_path / "endpoint.yaml", **scaled, settings={"log_prompts": True})
    review("update", run(capsys, "update", "--file", path, "--dry-run"))
    review("delete", run(capsys, "delete", "--file", path, "--dry-run"))
    assert "InService" in run(capsys, "status", "--file", path)


def test_dry_run_of_what_comes_before(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    account.stub.forget()
    account.calls.client("s3").create_bucket(Bucket=BUCKET)
    store = tmp_path / "store"
    path = write(tmp_path / "endpoint.yaml", **ASYNC)
    review("push", run(capsys, "push", "--file", path, "--dry-run"))
    review("roms-push", run(capsys, "roms", "push", str(store), "--file", path, "--dry-run"))
    review("role", run(capsys, "role", "--file", path, "--dry-run"))


def test_dry_run_of_batch_and_smoke(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "endpoint.yaml", **BATCH)
    review("batch", run(capsys, "batch", "--file", path, "--dry-run"))
    review("smoke", run(capsys, "smoke", "--file", path, "--dry-run"))


def test_a_dry_run_changes_nothing(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "endpoint.yaml", name="other", role="other", **BATCH)
    for command in (["push"], ["role"], ["batch"], ["create", "--no-preflight"], ["smoke"], ["delete"]):
        run(capsys, *command, "--file", path, "--dry-run")
    assert list(account.calls.pages("sagemaker", "list_models", "Models")) == []
    assert account.calls.find("iam", "get_role", RoleName="other") is None


def test_the_whole_way(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the runbook, but for the image, which docker pushes."""
    path = write(tmp_path / "endpoint.yaml", **BATCH)
    assert "0 files uploaded, 4 were there" in run(capsys, "roms", "push", str(tmp_path / "store"), "--file", path)
    assert "the ROMs, and nothing else of the bucket" in run(capsys, "role", "--file", path)
    assert "fail" not in run(capsys, "preflight", "--file", path)
    assert "endpoint pictures is in service" in run(capsys, "create", "--file", path)
    assert "endpoint  pictures: InService" in run(capsys, "status", "--file", path)
    seed(account.stub, "endpoint-results", answer())
    picture = tmp_path / "picture.png"
    assert "shapes  1.50 s" in run(capsys, "smoke", "--file", path, "--output", str(picture))
    assert picture.read_bytes() == png()
    assert "job pictures-" in run(capsys, "batch", "--file", path)
    assert "serves what the file says" in run(capsys, "update", "--file", path)
    assert "no container has started yet" in run(capsys, "logs", "--file", path, status=1)
    assert "nothing of endpoint pictures is left" in run(capsys, "delete", "--file", path)


def test_nothing_is_created_when_preflight_fails(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "endpoint.yaml", role="nobody")
    told = run(capsys, "create", "--file", path, status=1)
    assert "fail  role" in told and "do: run: python -m deploy role" in told
    assert told.endswith("preflight failed; nothing was created\n")
    assert list(account.calls.pages("sagemaker", "list_models", "Models")) == []


def test_what_is_wrong_is_one_message(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "create", "--file", write(tmp_path / "endpoint.yaml", nmae="x"), status=1)
    assert told == "endpoint.yaml: nmae: there is no such field\n"
    pinned = MINIMAL["image"].replace(":0.1.0", f"@sha256:{'a' * 64}")
    assert "name it by a tag" in run(capsys, "push", "--file", write(tmp_path / "pinned.yaml", image=pinned), status=1)


def test_without_credentials_that_is_all_it_says(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "deploy", "create", "--file", write(tmp_path / "endpoint.yaml")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout + done.stderr == (
        "sts.get_caller_identity: Unable to locate credentials: set AWS_PROFILE, or run aws configure\n"
    )


def test_documents_are_written(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "endpoint.yaml")
    run(capsys, "role", "--file", path, "--documents", str(tmp_path / "policies"))
    assert (tmp_path / "policies" / "execution.json").exists()


def test_advice_needs_no_account(capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "advice", str(ROOT / "model_store"))
    assert "These ROMs are small" in told
    assert re.search(r"ml\.g5\.xlarge .* all resident at once", told)


@pytest.mark.parametrize("command", [["-m", "deploy"], ["-m", "app.cli.main"]])
def test_it_is_a_program_and_a_command_of_cartridge(command: list[str]) -> None:
    if "app.cli.main" in command:
        command = ["-c", "import sys; sys.argv[0] = 'cartridge'; from app.cli.main import app; app()", "deploy"]
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("push", "roms", "role", "preflight", "create", "update", "delete", "status", "batch", "logs", "smoke"):
        assert name in done.stdout


def test_an_install_without_these_scripts_says_so(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", "from app.cli.main import app; app()", "deploy", "status"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "cartridge deploy: this install does not carry deploy/ (deploy is missing); use a checkout\n"


def test_snapshots_hold_no_account_but_motos() -> None:
    for path in SNAPSHOTS.glob("*.txt"):
        assert set(re.findall(r"\b\d{12}\b", path.read_text(encoding="utf-8"))) <= {"123456789012"}


def test_names_follow_from_content() -> None:
    assert content_name("a", {"x": 1, "y": 2}) == content_name("a", {"y": 2, "x": 1}) != content_name("a", {"x": 2})
