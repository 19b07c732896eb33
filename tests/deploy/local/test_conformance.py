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
from tests.support.fronts import PATIENCE_S, SAMPLE, front_in_service

ASKED = Asked(body=b"{}", stream_body=b'{"stream": true}')
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
    ("faults", "limits", "broken"),
    [
        ("dies", {}, {"serve-argument", "start-window"}),
        ("ping-redirects", {"start_s": 2}, {"start-window", "ping-status", "ping-under-load", "ping-post"}),
        ("ping-late", {"start_s": 2, "ping_s": 0.3}, {"start-window", "ping-time", "ping-under-load"}),
        ("no-invocations", {}, {"invocations-status"}),
        (
            "invocations-late,invocations-large",
            {"invocation_s": 0.4, "response_bytes": 15_000},
            {"invocations-time", "response-size"},
        ),
        ("ping-get-only,ready-early,unmeasured", {}, {"ping-post", "ready-is-true", "content-length"}),
        ("strict-headers,small-bodies", {}, {"foreign-headers", "request-size"}),
        ("strict-attributes,strict-ids", {}, {"custom-attributes", "inference-id"}),
        (
            "unstreamed,metrics-page,parameters-empty,crashes",
            {},
            {"stream-chunked", "metrics", "execution-parameters", "stop-status"},
        ),
        ("error-page", {}, {"error-status", "error-text"}),
        ("ignores-sigterm", {"stop_s": 0.5}, {"stop-time"}),
    ],
)
def test_a_wrong_container_fails_the_right_rows(faults: str, limits: dict[str, Any], broken: set[str]) -> None:
    outcomes = judged(SAMPLE, replace(ASKED, limits=Limits(**limits)), FAULTS=faults)
    assert ids(outcomes, "broken") == broken, [row(outcome) for outcome in outcomes]


@pytest.mark.parametrize(
    ("faults", "broken"),
    [
        ("models-shapeless", {"models-list", "models-load"}),
        ("models-unknown,models-reloaded", {"models-unknown", "models-unload", "models-conflict"}),
        ("models-forgotten", {"models-load"}),
        ("models-immortal", {"models-unload"}),
    ],
)
def test_a_wrong_multi_model_container_fails_the_right_rows(faults: str, broken: set[str]) -> None:
    asked = replace(ASKED, model_url="/opt/ml/models/x/model")
    outcomes = judged(SAMPLE, asked, FAULTS=faults, **MODELS)
    assert ids(outcomes, "broken") == broken, [row(outcome) for outcome in outcomes]


def test_a_container_that_does_not_heed_its_port_is_nowhere() -> None:
    outcomes = judged(SAMPLE, replace(ASKED, limits=Limits(start_s=1)), FIXED_PORT=str(free_port()))
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


def judged_image(config: dict[str, Any], asked: Asked, **environment: str) -> list[Outcome]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAND_IN_CONFIG", json.dumps(config))
        return judged("cartridge:latest", asked, **environment)


@pytest.mark.usefixtures("docker")
def test_an_image_that_keeps_every_rule(tmp_path: Path) -> None:
    outcomes = judged_image(
        {"Entrypoint": ["python3", "/opt/serve.py"], "User": ""}, replace(ASKED, model_data=tmp_path)
    )
    assert ids(outcomes, "broken") == set(), [row(outcome) for outcome in outcomes]
    assert ids(outcomes, "skipped") == {*NEEDS_MODELS, "execution-parameters"}


@pytest.mark.usefixtures("docker")
def test_an_image_that_breaks_the_rules_of_images(tmp_path: Path) -> None:
    config = {"Entrypoint": ["/bin/sh", "-c", "serve"], "User": "1000:1000"}
    asked = replace(ASKED, model_data=tmp_path, limits=Limits(start_s=3))
    outcomes = judged_image(config, asked, FAULTS="needs-network,crashes", FIXED_PORT="8080")
    broken = {"entrypoint", "root-user", "network-isolation", "stop-status", "bind-to-port"}
    assert ids(outcomes, "broken") == broken, [row(outcome) for outcome in outcomes]


def test_the_table_has_a_row_for_every_rule() -> None:
    outcomes = judged(SAMPLE, FAULTS="ping-get-only")
    rows = [row(outcome).splitlines() for outcome in outcomes]
    assert [line[0].split()[1] for line in rows] == [rule.id for rule in all_rules()]
    (broken,) = [line for line in rows if line[0].startswith("broken")]
    assert "405" in broken[0]
    assert "POST /ping is answered as GET is. [SageMaker guide" in broken[1]
    assert [entry["id"] for entry in json.loads(as_json(outcomes))] == [rule.id for rule in all_rules()]


def cartridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("cartridge")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_command_exits_with_1_where_a_rule_is_broken(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"{}")
    done = cartridge("conformance", SAMPLE, "--body", str(tmp_path / "body"), "--env", "FAULTS=ping-get-only")
    *_, last = done.stdout.splitlines()
    assert (done.returncode, last.split(",")[1]) == (1, " 1 broken")


def test_the_command_exits_with_2_where_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    done = cartridge("conformance", SAMPLE, "--body", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
