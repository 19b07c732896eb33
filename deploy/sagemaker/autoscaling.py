"""How many instances there are: by concurrent requests, or by the length of an asynchronous endpoint's queue."""

from __future__ import annotations

from typing import Any

from deploy.sagemaker.calls import Calls, holds
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.names import ENDPOINT_TAG, VARIANT
from deploy.sagemaker.parts import Autoscaling
from deploy.sagemaker.plan import concurrency
from deploy.sagemaker.rollout import ensure_alarm, prefix_of, remove_alarms

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_SERVICE = "application-autoscaling"
_FROM_ZERO = "scale-from-zero"


def resource_of(config: EndpointFile) -> dict[str, str]:
    """As every call of Application Auto Scaling takes it."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{config.name}/variant/{VARIANT}",
        "ScalableDimension": _DIMENSION,
    }


def policies_of(config: EndpointFile, scaling: Autoscaling) -> list[dict[str, Any]]:
    """As PutScalingPolicy takes them, without the resource."""
    tracking: dict[str, Any] = {
        "TargetValue": scaling.target or concurrency(config),
        "ScaleOutCooldown": scaling.scale_out_cooldown_s,
        "ScaleInCooldown": scaling.scale_in_cooldown_s,
    }
    if config.kind != "async":
        metric = "SageMakerVariantConcurrentRequestsPerModelHighResolution"  # every 10 s, those that wait included
        tracking["PredefinedMetricSpecification"] = {"PredefinedMetricType": metric}
        return [_policy(config, "concurrency", "TargetTrackingScaling", tracking)]
    tracking["CustomizedMetricSpecification"] = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": config.name}],
        "Statistic": "Average",
    }
    policies = [_policy(config, "backlog", "TargetTrackingScaling", tracking)]
    if scaling.min == 0:
        step: dict[str, Any] = {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": scaling.scale_out_cooldown_s,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        }
        policies.append(_policy(config, _FROM_ZERO, "StepScaling", step))
    return policies


def ensure_autoscaling(calls: Calls, config: EndpointFile) -> None:
    """What the file says, and no other policy of ours; nothing is scaled where it says nothing."""
    scaling = config.autoscaling
    if scaling is None:
        remove_autoscaling(calls, config)
        return
    target = {**resource_of(config), "MinCapacity": scaling.min, "MaxCapacity": scaling.max}
    found = _find_target(calls, config)
    if found is None or not holds(found, target):
        told = {} if found else {"Tags": {ENDPOINT_TAG: config.name, **config.tags}}
        calls.change(_SERVICE, "register_scalable_target", **target, **told)
    wanted = policies_of(config, scaling)
    existing = _find_policies(calls, config)
    for policy in wanted:
        _ensure_policy(calls, config, policy, existing.get(policy["PolicyName"]))
    for name in existing.keys() - {policy["PolicyName"] for policy in wanted}:
        _remove_policy(calls, config, name)
    if config.kind != "async" or scaling.min:
        remove_alarms(calls, config, _FROM_ZERO)


def remove_autoscaling(calls: Calls, config: EndpointFile) -> None:
    """Policies, then the alarm from zero, then the target."""
    if _find_target(calls, config) is not None:
        for name in _find_policies(calls, config):
            _remove_policy(calls, config, name)
        remove_alarms(calls, config, _FROM_ZERO)
        calls.change(_SERVICE, "deregister_scalable_target", **resource_of(config))


def describe_autoscaling(calls: Calls, config: EndpointFile) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The target, if there is one, and its policies."""
    return _find_target(calls, config), list(_find_policies(calls, config).values())


def _policy(config: EndpointFile, name: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"PolicyName": f"{prefix_of(config)}{name}", "PolicyType": kind, f"{kind}PolicyConfiguration": content}


def _ensure_policy(calls: Calls, config: EndpointFile, policy: dict[str, Any], existing: dict[str, Any] | None) -> None:
    arn = existing["PolicyARN"] if existing else f"<ARN of {policy['PolicyName']}>"
    if existing is None or not holds(existing, policy):
        arn = calls.change(_SERVICE, "put_scaling_policy", **resource_of(config), **policy).get("PolicyARN", arn)
    if policy["PolicyType"] == "StepScaling":
        ensure_alarm(calls, config, _from_zero_alarm(config, arn))


def _from_zero_alarm(config: EndpointFile, policy_arn: str) -> dict[str, Any]:
    """Something waits, and no instance is there to do it."""
    return {
        "AlarmName": f"{prefix_of(config)}{_FROM_ZERO}",
        "AlarmDescription": f"starts the first instance of the endpoint {config.name}",
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": [{"Name": "EndpointName", "Value": config.name}],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [policy_arn],
    }


def _remove_policy(calls: Calls, config: EndpointFile, name: str) -> None:
    if name.startswith(prefix_of(config)):
        calls.change(_SERVICE, "delete_scaling_policy", PolicyName=name, **resource_of(config))


def _find_target(calls: Calls, config: EndpointFile) -> dict[str, Any] | None:
    resource = resource_of(config)
    asked = {"ResourceIds": [resource["ResourceId"]], "ServiceNamespace": "sagemaker", "ScalableDimension": _DIMENSION}
    return next(calls.pages(_SERVICE, "describe_scalable_targets", "ScalableTargets", **asked), None)


def _find_policies(calls: Calls, config: EndpointFile) -> dict[str, dict[str, Any]]:
    """By name."""
    listed = calls.pages(_SERVICE, "describe_scaling_policies", "ScalingPolicies", **resource_of(config))
    return {policy["PolicyName"]: policy for policy in listed}
