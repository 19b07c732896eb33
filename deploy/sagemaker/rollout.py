"""How an update replaces what runs, and the alarms that undo it."""

from __future__ import annotations

from typing import Any

from deploy.sagemaker.calls import Calls, holds
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.names import ENDPOINT_TAG, VARIANT, carries, tags

_PERIOD_S = 60
_MICROSECONDS = 1_000_000  # ModelLatency's unit


def deployment_config(config: EndpointFile) -> dict[str, Any]:
    """As UpdateEndpoint takes it."""
    rollout = config.rollout
    rollback = {"Alarms": [{"AlarmName": request["AlarmName"]} for request in alarm_requests(config)]}
    if rollout.strategy == "rolling":
        policy: dict[str, Any] = {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": rollout.step_percent},
            "WaitIntervalInSeconds": rollout.wait_s,
            "MaximumExecutionTimeoutInSeconds": rollout.max_execution_s,
        }
        return {"RollingUpdatePolicy": policy, "AutoRollbackConfiguration": rollback}
    size = {"Type": "CAPACITY_PERCENT", "Value": rollout.step_percent}
    traffic = rollout.traffic if _least_instances(config) > 1 else "all_at_once"  # one instance has no half
    step = {"canary": {"CanarySize": size}, "linear": {"LinearStepSize": size}, "all_at_once": {}}[traffic]
    policy = {
        "TrafficRoutingConfiguration": {
            "Type": traffic.upper(),
            "WaitIntervalInSeconds": rollout.wait_s,
            **step,
        },
        "TerminationWaitInSeconds": rollout.termination_wait_s,
        "MaximumExecutionTimeoutInSeconds": rollout.max_execution_s,
    }
    return {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": rollback}


def _least_instances(config: EndpointFile) -> int:
    count = config.instances.count if config.instances else 0
    return min(count, config.autoscaling.min) if config.autoscaling else count


def alarm_requests(config: EndpointFile) -> list[dict[str, Any]]:
    """As PutMetricAlarm takes them, without tags. Minutes without a request are no alarm."""
    limits = config.rollout.alarms
    metrics = (
        ("5xx", "Invocation5XXErrors", "Sum", limits.errors_5xx),
        ("model-errors", "InvocationModelErrors", "Sum", limits.model_errors),
        ("latency", "ModelLatency", "Average", limits.latency_s * _MICROSECONDS),
    )
    return [
        {
            "AlarmName": f"{prefix_of(config)}rollback-{name}",
            "AlarmDescription": f"rolls updates of the endpoint {config.name} back",
            "Namespace": "AWS/SageMaker",
            "MetricName": metric,
            "Dimensions": dimensions(config),
            "Statistic": statistic,
            "Period": _PERIOD_S,
            "EvaluationPeriods": 2,
            "DatapointsToAlarm": 1,
            "Threshold": float(threshold),
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
        }
        for name, metric, statistic, threshold in metrics
    ]


def ensure_alarms(calls: Calls, config: EndpointFile) -> None:
    for request in alarm_requests(config):
        ensure_alarm(calls, config, request)


def ensure_alarm(calls: Calls, config: EndpointFile, request: dict[str, Any]) -> None:
    found = calls.read("cloudwatch", "describe_alarms", AlarmNames=[request["AlarmName"]])["MetricAlarms"]
    if not found or not holds(found[0], request):
        calls.change("cloudwatch", "put_metric_alarm", **request, Tags=tags(ENDPOINT_TAG, config.name, config.tags))


def remove_alarms(calls: Calls, config: EndpointFile, mark: str = "") -> None:
    """Those that carry the endpoint's tag, and whose name goes on with `mark`."""
    prefix = prefix_of(config) + mark
    listed = list(calls.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix))
    for alarm in listed:
        carried = calls.read("cloudwatch", "list_tags_for_resource", ResourceARN=alarm["AlarmArn"])["Tags"]
        if carries(carried, ENDPOINT_TAG, config.name):
            calls.change("cloudwatch", "delete_alarms", AlarmNames=[alarm["AlarmName"]])


def prefix_of(config: EndpointFile) -> str:
    """What the endpoint's alarms are called after."""
    return f"cartridge-{config.name}-"


def dimensions(config: EndpointFile) -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": config.name}, {"Name": "VariantName", "Value": VARIANT}]
