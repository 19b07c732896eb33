"""Of the account: the role, the instances, the name."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from deploy.sagemaker.errors import Missing
from deploy.sagemaker.names import ENDPOINT_TAG
from deploy.sagemaker.ownership import find_endpoint, is_ours
from deploy.sagemaker.policies import execution_statements
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.preflight.verdict import Verdict, failed, passed, warned

_WRITES_LOGS = "CreateLog"


def check_role(facts: Facts) -> Verdict:
    try:
        role = facts.role
    except Missing as error:
        return failed(str(error), "run: python -m deploy role")
    trusted = role["AssumeRolePolicyDocument"]
    services = [_services(statement) for statement in trusted.get("Statement", ()) if statement["Effect"] == "Allow"]
    if not any("sagemaker.amazonaws.com" in found for found in services):
        return failed(f"{role['Arn']} does not let sagemaker.amazonaws.com assume it", "run: python -m deploy role")
    return passed(str(role["Arn"]))


def check_role_access(facts: Facts) -> Verdict:
    """IAM is asked what the role may do; bucket policies and organisations are not part of the answer."""
    denied = []
    for statement in execution_statements(facts.scope):
        resources = [_example(resource) for resource in statement.resources]
        asked: dict[str, Any] = {
            "PolicySourceArn": facts.role["Arn"],
            "ActionNames": list(statement.actions),
            "ResourceArns": resources,
            "ContextEntries": _context(statement.condition),
        }
        answer = facts.calls.pages("iam", "simulate_principal_policy", "EvaluationResults", **asked)
        denied += [
            f"{result['EvalActionName']} on {result.get('EvalResourceName', '*')} ({statement.reason})"
            for result in answer
            if result["EvalDecision"] != "allowed"
        ]
    if denied:
        more = f", and {len(denied) - 1} more" if len(denied) > 1 else ""
        return failed(f"the role may not {denied[0]}{more}", "run: python -m deploy role, or attach its execution.json")
    return passed("image, ROMs, logs and metrics, as IAM simulates it")


def check_instance_type(facts: Facts) -> Verdict:
    """A region that has a type has a quota of it."""
    if facts.config.kind == "serverless":
        return passed("serverless")
    missing = [one.name for one in facts.instances if _quota_name(one.name) not in facts.quotas]
    if len(missing) == len(facts.instances):
        return failed(
            f"{facts.config.region} has no {missing[0]} for endpoints", "see `advice` for others, or change region"
        )
    if missing:
        return warned(f"{facts.config.region} has no {', '.join(missing)}", "leave it out of instances.types")
    return passed(", ".join(one.name for one in facts.instances))


def check_quota(facts: Facts) -> Verdict:
    """What other endpoints take of it is not seen here."""
    config = facts.config
    if config.kind == "serverless":
        return passed("serverless")
    wanted = config.max_instances * (2 if config.rollout.strategy == "blue_green" else 1)
    quotas = {one.name: facts.quotas.get(_quota_name(one.name), 0) for one in facts.instances}
    told = ", ".join(f"{name}: {quota:g}" for name, quota in quotas.items())
    advice = f"ask Service Quotas for {wanted} of '{_quota_name(facts.instances[0].name)}'"
    best = max(quotas.values())
    if best < config.max_instances:
        return failed(f"{told}; {config.max_instances} may run", advice)
    if best < wanted:
        return warned(f"{told}; a blue/green update needs up to {wanted} for a while", f"{advice}, or take rolling")
    return passed(told)


def check_endpoint_name(facts: Facts) -> Verdict:
    name = facts.config.name
    found = find_endpoint(facts.calls, name)
    if found is None:
        return passed(f"{name} is free")
    if not is_ours(facts.calls, found["EndpointArn"], name):
        return failed(f"{name} is taken, without the tag {ENDPOINT_TAG}={name}", "choose another name in the file")
    return passed(f"{name} is ours, and {found['EndpointStatus']}")


def _quota_name(instance_type: str) -> str:
    return f"{instance_type} for endpoint usage"


def _services(statement: dict[str, Any]) -> list[str]:
    principal = statement.get("Principal", {})
    found = principal.get("Service", ()) if isinstance(principal, dict) else ()
    return [found] if isinstance(found, str) else list(found)


def _example(resource: str) -> str:
    """One resource that a pattern stands for."""
    return resource if resource == "*" else unquote(resource).replace("*", "example")


def _context(condition: dict[str, Any]) -> list[dict[str, Any]]:
    """What a call would bring along, for the condition to be true."""
    keys = {key: values for test in condition.values() for key, values in test.items()}
    return [
        {
            "ContextKeyName": key,
            "ContextKeyType": "string",
            "ContextKeyValues": [(values if isinstance(values, str) else values[0]).replace("*", "example")],
        }
        for key, values in keys.items()
    ]
