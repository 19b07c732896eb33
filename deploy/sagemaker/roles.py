"""`role`: the execution role, and policies for those who deploy and those who call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.names import ROLE_TAG, carries, tags
from deploy.sagemaker.policies import (
    TRUST,
    Scope,
    Statement,
    deployer_statements,
    document,
    execution_statements,
    invoker_statements,
)

_INLINE = "cartridge-execution"
_MOST_VERSIONS = 5  # of a managed policy


def scope_of(calls: Calls, config: EndpointFile) -> Scope:
    return Scope(config, calls.account, calls.partition)


def all_statements(scope: Scope) -> dict[str, list[Statement]]:
    return {
        "execution": execution_statements(scope),
        "deployer": deployer_statements(scope),
        "invoker": invoker_statements(scope),
    }


def write_documents(scope: Scope, directory: Path) -> list[Path]:
    """One JSON file a policy, for those whose roles are made by others."""
    directory.mkdir(parents=True, exist_ok=True)
    contents = {"trust": TRUST} | {name: document(found) for name, found in all_statements(scope).items()}
    paths = []
    for name, content in contents.items():
        path = directory / f"{name}.json"
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def ensure_roles(calls: Calls, config: EndpointFile) -> None:
    """The execution role with its policy, and two managed policies to attach to people and programs.

    Raises DeployError where a role or policy of the name is there that is not of these scripts.
    """
    scope = scope_of(calls, config)
    found = all_statements(scope)
    _ensure_execution_role(calls, config.role, document(found["execution"]))
    for kind in ("deployer", "invoker"):
        _ensure_policy(calls, scope, f"{config.name}-{kind}", document(found[kind]))


def _ensure_execution_role(calls: Calls, name: str, wanted: dict[str, Any]) -> None:
    role = calls.find("iam", "get_role", RoleName=name)
    if role is None:
        trust = json.dumps(TRUST)
        calls.change("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags(ROLE_TAG, name))
    elif not carries(calls.read("iam", "list_role_tags", RoleName=name)["Tags"], ROLE_TAG, name):
        raise DeployError(f"role {name!r} is not tagged {ROLE_TAG}={name}: choose another name in the file, or tag it")
    elif role["Role"]["AssumeRolePolicyDocument"] != TRUST:
        calls.change("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=json.dumps(TRUST))
    inline = calls.find("iam", "get_role_policy", RoleName=name, PolicyName=_INLINE)
    if inline is None or inline["PolicyDocument"] != wanted:
        calls.change("iam", "put_role_policy", RoleName=name, PolicyName=_INLINE, PolicyDocument=json.dumps(wanted))


def _ensure_policy(calls: Calls, scope: Scope, name: str, wanted: dict[str, Any]) -> None:
    arn = scope.arn("iam", f"policy/{name}", regional=False)
    text = json.dumps(wanted)
    policy = calls.find("iam", "get_policy", PolicyArn=arn)
    if policy is None:
        calls.change("iam", "create_policy", PolicyName=name, PolicyDocument=text, Tags=tags(ROLE_TAG, name))
        return
    if not carries(calls.read("iam", "list_policy_tags", PolicyArn=arn)["Tags"], ROLE_TAG, name):
        raise DeployError(f"policy {name!r} is not tagged {ROLE_TAG}={name}: tag it, or remove it")
    version = policy["Policy"]["DefaultVersionId"]
    current = calls.read("iam", "get_policy_version", PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    if current != wanted:
        _make_room(calls, arn)
        calls.change("iam", "create_policy_version", PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)


def _make_room(calls: Calls, arn: str) -> None:
    """IAM keeps five versions: the oldest that is not in force goes."""
    versions = calls.read("iam", "list_policy_versions", PolicyArn=arn)["Versions"]
    if len(versions) >= _MOST_VERSIONS:
        oldest = min((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: one["CreateDate"])
        calls.change("iam", "delete_policy_version", PolicyArn=arn, VersionId=oldest["VersionId"])
