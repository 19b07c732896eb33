"""The runbook knows every error: codes of the API, and messages of the scripts that deploy."""

from __future__ import annotations

import inspect
import re

import pytest

from app import errors
from app.api import problems
from deploy.running import ROOT
from tests.support.documents import calls_in, matches, name_of, quoted, read, rows, text_of

RAISED = {"DeployError", "Missing", "_leave"}
AT_THE_START = {"manifest_error", "settings_error"}  # in prose, as no request is answered with them
OF_AWS = {"SERVICE.OPERATION: AccessDenied...", "Unable to locate credentials: set AWS_PROFILE"}  # or of botocore
OF_A_FIELD = "FILE: FIELD: ..."  # one message for each rule of the file


def codes() -> dict[str, int]:
    """With their statuses: of the error classes, and of what nginx answers by itself."""
    found = [one for one in (*vars(errors).values(), *vars(problems).values()) if inspect.isclass(one)]
    ours = {one.code: one.http_status for one in found if issubclass(one, errors.CartridgeError)}
    nginx = re.findall(r"return (\d+) '{\"error\":{\"code\":\"(\w+)\"", read("nginx.conf"))
    return ours | {code: int(status) for status, code in nginx}


def test_every_error_code_of_the_api_is_documented_with_its_status() -> None:
    table = [(quoted(row[0]), row[1].split(", ")) for row in rows("docs/api.md", "## Errors")]
    told = {code: int(status) for names, statuses in table for code, status in zip(names, statuses, strict=True)}
    assert told.items() <= codes().items()
    assert codes().keys() - told.keys() == AT_THE_START


def test_the_runbook_says_what_to_do_at_every_error_code() -> None:
    told = [code for row in rows("docs/troubleshooting.md", "## Error codes") for code in quoted(row[0])]
    assert sorted(told) == sorted(codes())


def messages() -> list[str]:
    """All that `python -m deploy` may leave with, as far as it is constant."""
    paths = [path for path in sorted((ROOT / "deploy" / "sagemaker").rglob("*.py"))]
    texts = [text_of(call.args[0]) for call in calls_in(*paths) if name_of(call.func) in RAISED]
    return [text for text in texts if text.strip(".: \n")]


def told_messages() -> list[str]:
    return [text for row in rows("docs/troubleshooting.md", "## `python -m deploy`") for text in quoted(row[0])]


@pytest.mark.parametrize("message", messages())
def test_every_message_of_deploy_is_told(message: str) -> None:
    assert any(matches(told, message) for told in told_messages())


@pytest.mark.parametrize("told", sorted({*told_messages()} - OF_AWS - {OF_A_FIELD}))
def test_no_message_is_told_that_deploy_does_not_have(told: str) -> None:
    assert any(matches(told, message) for message in messages())
