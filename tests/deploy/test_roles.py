"""Roles and policies: made once, brought up to date, nobody else's changed; no statement without a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.policies import TRUST, Scope
from deploy.sagemaker.roles import all_statements, ensure_roles, write_documents
from tests.deploy.conftest import ASYNC, BUCKET, Configure, Interrupted, Record, Recorder
from tests.support.aws_stub import ACCOUNT

FULL = {
    **ASYNC,
    "kms_key": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0",
    "vpc": {"subnets": ["subnet-0"], "security_groups": ["sg-0"]},
    "batch": {"input": f"s3://{BUCKET}/in/", "output": f"s3://{BUCKET}/out/", "instance_type": "ml.g5.xlarge"},
}


def test_roles_are_made_once(calls: Recorder, record: Record, configure: Configure) -> None:
    config = configure()
    ensure_roles(calls, config)
    assert calls.changes == ["iam.create_role", "iam.put_role_policy", "iam.create_policy", "iam.create_policy"]
    again = record()
    ensure_roles(again, config)
    assert again.changes == []


def test_roles_complete_wherever_they_were_interrupted(record: Record, configure: Configure) -> None:
    config = configure()
    for _ in range(4):
        with pytest.raises(Interrupted):
            ensure_roles(record(ends_after=0), config)
    whole = record()
    ensure_roles(whole, config)
    assert whole.changes == []


def test_what_changes_in_the_file_changes_the_policies(calls: Recorder, record: Record, configure: Configure) -> None:
    ensure_roles(calls, configure())
    for number in range(7):  # IAM keeps five versions
        config = configure(roms={"source": f"s3://{BUCKET}/roms-{number}/"})
        ensure_roles(record(), config)
    arn = f"arn:aws:iam::{ACCOUNT}:policy/pictures-deployer"
    policy = calls.read("iam", "get_policy", PolicyArn=arn)["Policy"]
    version = calls.read("iam", "get_policy_version", PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    assert f"{BUCKET}/roms-6/*" in json.dumps(version["PolicyVersion"]["Document"])
    inline = calls.read("iam", "get_role_policy", RoleName="cartridge-execution", PolicyName="cartridge-execution")
    assert f"{BUCKET}/roms-6/*" in json.dumps(inline["PolicyDocument"])


def test_a_trust_that_was_changed_is_mended(calls: Recorder, record: Record, configure: Configure) -> None:
    ensure_roles(calls, configure())
    trust = json.dumps(TRUST).replace("sagemaker.", "ec2.")
    calls.client("iam").update_assume_role_policy(RoleName="cartridge-execution", PolicyDocument=trust)
    again = record()
    ensure_roles(again, configure())
    assert again.changes == ["iam.update_assume_role_policy"]


def test_roles_and_policies_of_others_are_not_changed(calls: Recorder, configure: Configure) -> None:
    calls.client("iam").create_role(RoleName="theirs", AssumeRolePolicyDocument="{}")
    with pytest.raises(DeployError, match="role 'theirs' is not tagged"):
        ensure_roles(calls, configure(role="theirs"))
    theirs = json.dumps(TRUST | {"Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]})
    calls.client("iam").create_policy(PolicyName="pictures-invoker", PolicyDocument=theirs)
    with pytest.raises(DeployError, match="policy 'pictures-invoker' is not tagged"):
        ensure_roles(calls, configure())


@pytest.mark.parametrize("fields", [{}, FULL], ids=["minimal", "full"])
def test_every_statement_has_a_reason_and_names_what_can_be_named(
    configure: Configure, fields: dict[str, object]
) -> None:
    everywhere = {"PullToken", "PushToken", "WriteMetrics", "JoinVpc", "FindThem", "ReadQuotas", "Scale"}
    for statements in all_statements(Scope(configure(**fields), ACCOUNT)).values():
        assert len({statement.sid for statement in statements}) == len(statements)
        for statement in statements:
            assert len(statement.reason.split()) > 1 or statement.sid == "Invoke"
            assert ("*" in statement.resources) == (statement.sid in everywhere), statement.sid
            assert not any(action.endswith("*") for action in statement.actions)


def test_the_execution_role_may_only_what_its_endpoint_needs(configure: Configure) -> None:
    minimal = {one.sid for one in all_statements(Scope(configure(), ACCOUNT))["execution"]}
    full = {one.sid for one in all_statements(Scope(configure(**FULL), ACCOUNT))["execution"]}
    assert full - minimal == {"WriteAnswers", "ReadBatch", "ListBatch", "WriteBatch", "UseKey", "JoinVpc"}
    topics = {"async": {**ASYNC["async"], "error_topic": f"arn:aws:sns:us-east-1:{ACCOUNT}:errors"}}
    notified = {one.sid for one in all_statements(Scope(configure(**{**ASYNC, **topics}), ACCOUNT))["execution"]}
    assert "Notify" in notified


def test_documents_are_written_for_those_whose_roles_others_make(configure: Configure, tmp_path: Path) -> None:
    paths = write_documents(Scope(configure(**FULL), ACCOUNT), tmp_path / "policies")
    assert [path.name for path in paths] == ["trust.json", "execution.json", "deployer.json", "invoker.json"]
    for path in paths:
        assert json.loads(path.read_text(encoding="utf-8"))["Version"] == "2012-10-17"
        assert len(path.read_text(encoding="utf-8").replace(" ", "").replace("\n", "")) < 6144  # of a managed policy
