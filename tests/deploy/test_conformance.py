"""The rules of SageMaker: a container that keeps them, and one that breaks those it is told to break."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.conformance.report import all_rules, as_json, judge_all, row
from deploy.local.conformance.rule import Outcome
from deploy.local.conformance.subject import Asked, Subject
from deploy.local.limits import Limits
from deploy.running import free_port
from tests.support.fronts import SAMPLE, front_in_service

LIMITS = Limits(
    response_bytes=15_000, invocation_s=0.4, ping_s=0.3, accept_s=0.1, start_s=5, stop_s=2
)  # of which a fault is quickly seen
ASKED = Asked(body=b"{}", stream_body=b'{"stream": true}', limits=LIMITS)
MODELS = {"CAPACITY": "2"}
NEEDS_IMAGE = {"entrypoint", "root-user", "read-only-model", "network-isolation"}
NEEDS_MODELS = {rule.id for rule in all_rules() if rule.id.startswith("models-")}


def judged(target: str | None, asked: Asked = ASKED, **environment: str) -> list[Outcome]:
    return list(judge_all(Subject(target, replace(asked, environment=environment))))


def ids(outcomes: Iterable[Outcome], verdict: str) -> set[str]:
    return {outcome.rule.id for outcome in outcomes if outcome.verdict == verdict}


def test_a_container_that_keeps_every_rule() -> None:
    asked = replace(ASKED, model_url="/opt/ml/models/x/model")
    outcomes = judged(SAMPLE, asked, **MODELS)
    assert ids(outcomes, "broken") == set(), [row(outcome) for outcome in outcomes]
    assert ids(outcomes, "skipped") == {*NEEDS_IMAGE, "execution-parameters"}


@pytest.mark.parametrize(
    ("faults", "broken"),
    [
        ("dies", {"serve-argument", "start-window"}),
        ("ping-redirects", {"start-window", "ping-status", "ping-under-load", "ping-post"}),
        ("ping-late", {"start-window", "ping-time", "ping-under-load"}),
        ("ping-get-only", {"ping-post"}),
        ("ready-early", {"ready-is-true"}),
        ("no-invocations", {"invocations-status"}),
        ("invocations-late", {"invocations-time"}),
        ("invocations-large", {"response-size"}),
        ("unmeasured", {"content-length"}),
        ("strict-headers,small-bodies", {"foreign-headers", "request-size"}),
        ("strict-attributes,strict-ids", {"custom-attributes", "inference-id"}),
        ("unstreamed,metrics-page,parameters-empty", {"stream-chunked", "metrics", "execution-parameters"}),
        ("error-page", {"error-status", "error-text"}),
        ("ignores-sigterm", {"stop-time"}),
        ("crashes", {"stop-status"}),
    ],
)
def test_a_wrong_container_fails_the_right_rows(faults: str, broken: set[str]) -> None:
    limits = replace(LIMITS, start_s=0.7 if "start-window" in broken else 5, stop_s=0.5 if "ignores" in faults else 2)
    outcomes = judged(SAMPLE, replace(ASKED, limits=limits), FAULTS=faults)
    assert ids(outcomes, "broken") == broken, [row(outcome) for outcome in outcomes]


@pytest.mark.parametrize(
    ("faults", "broken"),
    [
        ("models-shapeless", {"models-list", "models-load"}),
        ("models-unknown", {"models-unknown", "models-unload"}),
        ("models-forgotten", {"models-load"}),
        ("models-reloaded", {"models-conflict"}),
        ("models-immortal", {"models-unload"}),
    ],
)
def test_a_wrong_multi_model_container_fails_the_right_rows(faults: str, broken: set[str]) -> None:
    asked = replace(ASKED, model_url="/opt/ml/models/x/model")
    outcomes = judged(SAMPLE, asked, FAULTS=faults, **MODELS)
    assert ids(outcomes, "broken") == broken, [row(outcome) for outcome in outcomes]


def test_a_container_that_does_not_heed_its_port_is_nowhere() -> None:
    limits = replace(LIMITS, start_s=0.7)
    outcomes = judged(SAMPLE, replace(ASKED, limits=limits), FIXED_PORT=str(free_port()))
    assert ids(outcomes, "broken") == {"start-window", "ping-accept", "bind-to-port"}


def test_of_a_url_nothing_is_started_or_stopped() -> None:
    with front_in_service() as front:
        outcomes = judged(front.endpoint.container.url)
        assert front.endpoint.container.ended() is None
    lifecycle = {"serve-argument", "start-window", "ready-is-true", "stop-time", "stop-status", "bind-to-port"}
    assert ids(outcomes, "skipped") == {*NEEDS_IMAGE, *NEEDS_MODELS, *lifecycle, "execution-parameters"}
    assert ids(outcomes, "broken") == set()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called docker that knows one image."""
    (tmp_path / "docker").symlink_to(Path(SAMPLE).with_name("docker_stand_in.py"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def judged_image(config: dict[str, Any], model_data: Path, **environment: str) -> list[Outcome]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAND_IN_CONFIG", json.dumps(config))
        return judged("cartridge:latest", replace(ASKED, model_data=model_data), **environment)


@pytest.mark.usefixtures("docker")
def test_an_image_that_keeps_every_rule(tmp_path: Path) -> None:
    outcomes = judged_image({"Entrypoint": ["python3", "/opt/serve.py"], "User": ""}, tmp_path)
    assert ids(outcomes, "broken") == set(), [row(outcome) for outcome in outcomes]
    assert ids(outcomes, "skipped") == {*NEEDS_MODELS, "execution-parameters"}


@pytest.mark.usefixtures("docker")
def test_an_image_that_breaks_the_rules_of_images(tmp_path: Path) -> None:
    config = {"Entrypoint": ["/bin/sh", "-c", "serve"], "User": "1000:1000"}
    outcomes = judged_image(config, tmp_path, FAULTS="needs-network,crashes", FIXED_PORT="8080")
    broken = {"entrypoint", "root-user", "network-isolation", "stop-status", "bind-to-port"}
    assert ids(outcomes, "broken") == broken, [row(outcome) for outcome in outcomes]


def test_the_table_has_a_row_for_every_rule() -> None:
    outcomes = judged(SAMPLE, FAULTS="ping-get-only")
    rows = [row(outcome).splitlines() for outcome in outcomes]
    assert [line[0].split()[1] for line in rows] == [rule.id for rule in all_rules()]
    (broken,) = [line for line in rows if line[0].startswith("broken")]
    assert "405" in broken[0]
    assert "POST /ping is answered as GET is. [DG" in broken[1]
    assert [entry["id"] for entry in json.loads(as_json(outcomes))] == [rule.id for rule in all_rules()]


@pytest.mark.parametrize(("faults", "status"), [("", 0), ("ping-get-only", 1)])
def test_the_command_exits_with_1_where_a_rule_is_broken(faults: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"{}")
    command = [
        str(Path(sys.executable).with_name("cartridge")),
        "conformance",
        SAMPLE,
        "--body",
        str(tmp_path / "body"),
    ]
    done = subprocess.run(
        [*command, "--json", "--env", f"FAULTS={faults}"], capture_output=True, text=True, check=False
    )
    verdicts = {entry["id"]: entry["verdict"] for entry in json.loads(done.stdout)}
    assert (done.returncode, verdicts["ping-post"]) == (status, "broken" if status else "kept")
