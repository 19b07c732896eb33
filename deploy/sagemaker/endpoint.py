"""`create` and `update`: bring an endpoint to what its file says, from wherever an earlier run has left it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from deploy.sagemaker.autoscaling import ensure_autoscaling
from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.names import ENDPOINT_TAG, Tags, tags
from deploy.sagemaker.ownership import find_endpoint, named_after, require_ours
from deploy.sagemaker.plan import Named, Plan
from deploy.sagemaker.rollout import deployment_config, ensure_alarms, remove_alarms
from deploy.sagemaker.waiting import Patience, wait_for

_SETTLED = {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}
BATCH_MARK = "-batch-"  # of the models of batch jobs


def create(calls: Calls, config: EndpointFile, plan: Plan, patience: Patience) -> None:
    """Raises DeployError where it is there already with another content, or does not start."""
    found = settle(calls, config.name, patience)
    if found is not None:
        require_ours(calls, found, config.name)
        if found["EndpointStatus"] == "Failed":
            _remove_failed(calls, config.name, patience)
            found = None
        elif found["EndpointConfigName"] != plan.endpoint_config.name:
            raise DeployError(f"endpoint {config.name!r} is there with another content: run update")
    _ensure_parts(calls, config, plan, patience)
    if found is None:
        calls.change(
            "sagemaker",
            "create_endpoint",
            EndpointName=config.name,
            EndpointConfigName=plan.endpoint_config.name,
            Tags=_tags(config),
        )
    _finish(calls, config, plan, patience)


def update(calls: Calls, config: EndpointFile, plan: Plan, patience: Patience) -> None:
    """Raises DeployError where there is no endpoint, or SageMaker has rolled back."""
    found = settle(calls, config.name, patience)
    if found is None:
        raise DeployError(f"there is no endpoint {config.name!r}: run create")
    require_ours(calls, found, config.name)
    if found["EndpointStatus"] == "Failed":
        raise DeployError(f"endpoint {config.name!r} has failed ({found.get('FailureReason', '')}): run create")
    if found["EndpointStatus"] != "InService":
        raise DeployError(f"endpoint {config.name!r} is {found['EndpointStatus']}: look at `logs`, then delete it")
    _ensure_parts(calls, config, plan, patience)
    if config.kind != "serverless":
        ensure_alarms(calls, config)
    if found["EndpointConfigName"] != plan.endpoint_config.name:
        calls.change("sagemaker", "update_endpoint", **_update_request(config, plan))
    _finish(calls, config, plan, patience)


def settle(calls: Calls, name: str, patience: Patience) -> dict[str, Any] | None:
    """The endpoint when SageMaker is not working on it; None: there is none."""

    def is_settled(found: dict[str, Any] | None) -> bool:
        return found is None or found["EndpointStatus"] in _SETTLED

    return wait_for(calls, f"{name} is settled", partial(find_endpoint, calls, name), is_settled, patience)


def ensure_model(calls: Calls, config: EndpointFile, model: Named, patience: Patience) -> None:
    look = partial(calls.find, "sagemaker", "describe_model", ModelName=model.name)
    if look() is None:
        calls.change("sagemaker", "create_model", ModelName=model.name, **model.request, Tags=_tags(config))
        _wait_until_there(calls, model.name, look, patience)


def remove_parts(calls: Calls, config: EndpointFile, kept: set[str]) -> None:
    """Delete the endpoint's configurations and models but these."""
    for name in named_after(calls, "EndpointConfig", config.name):
        if name not in kept:
            calls.change("sagemaker", "delete_endpoint_config", EndpointConfigName=name)
    for name in named_after(calls, "Model", config.name):
        if name not in kept:
            calls.change("sagemaker", "delete_model", ModelName=name)


def _ensure_parts(calls: Calls, config: EndpointFile, plan: Plan, patience: Patience) -> None:
    ensure_model(calls, config, plan.model, patience)
    wanted = plan.endpoint_config
    look = partial(calls.find, "sagemaker", "describe_endpoint_config", EndpointConfigName=wanted.name)
    if look() is None:
        request = {"EndpointConfigName": wanted.name, **wanted.request, "Tags": _tags(config)}
        calls.change("sagemaker", "create_endpoint_config", **request)
        _wait_until_there(calls, wanted.name, look, patience)


def _wait_until_there(calls: Calls, name: str, look: Callable[[], dict[str, Any] | None], patience: Patience) -> None:
    """What was created is not always seen at once by the call that needs it."""
    wait_for(calls, f"{name} is there", look, lambda found: found is not None, patience)


def _update_request(config: EndpointFile, plan: Plan) -> dict[str, Any]:
    request: dict[str, Any] = {"EndpointName": config.name, "EndpointConfigName": plan.endpoint_config.name}
    if config.autoscaling:
        request["RetainAllVariantProperties"] = True  # as many instances as autoscaling has made of it
    if config.kind != "serverless":
        request["DeploymentConfig"] = deployment_config(config)
    return request


def _finish(calls: Calls, config: EndpointFile, plan: Plan, patience: Patience) -> None:
    """Wait until it serves what was asked for; then scaling, alarms, and what earlier versions left."""
    found = settle(calls, config.name, patience)
    if found is not None and not calls.dry_run:
        _judge(config, plan, found)
    ensure_autoscaling(calls, config)
    if config.kind == "serverless":
        remove_alarms(calls, config)
    else:
        ensure_alarms(calls, config)
    batch = {name for name in named_after(calls, "Model", config.name) if name.startswith(config.name + BATCH_MARK)}
    remove_parts(calls, config, kept={plan.model.name, plan.endpoint_config.name, *batch})


def _judge(config: EndpointFile, plan: Plan, found: dict[str, Any]) -> None:
    """Raises DeployError where it does not serve what was asked for."""
    status, reason = found["EndpointStatus"], found.get("FailureReason", "SageMaker gives no reason")
    if status != "InService":
        raise DeployError(
            f"endpoint {config.name!r} is {status}: {reason}\nlook at `logs`; run create again when it is mended"
        )
    if found["EndpointConfigName"] != plan.endpoint_config.name:
        raise DeployError(
            f"SageMaker rolled the update back: {reason}\n{config.name!r} serves what it did before; look at alarms in "
            "`status` and at `logs`, change the file, and run update again"
        )


def _remove_failed(calls: Calls, name: str, patience: Patience) -> None:
    """Of an endpoint that failed to start nothing can be had but its name."""
    calls.change("sagemaker", "delete_endpoint", EndpointName=name)
    look = partial(find_endpoint, calls, name)
    wait_for(calls, f"{name} is gone", look, lambda found: found is None, patience)


def _tags(config: EndpointFile) -> Tags:
    return tags(ENDPOINT_TAG, config.name, config.tags)
