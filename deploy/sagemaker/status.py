"""`status`: what is there of an endpoint."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.sagemaker.autoscaling import describe_autoscaling
from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.ownership import find_endpoint, is_ours, named_after
from deploy.sagemaker.rollout import prefix_of


def status_lines(calls: Calls, config: EndpointFile) -> Iterator[str]:
    """Endpoint, instances, image, scaling, alarms, and what earlier versions left. Raises DeployError."""
    found = find_endpoint(calls, config.name)
    if found is None:
        yield f"endpoint  {config.name}: not there"
    else:
        owner = "" if is_ours(calls, found["EndpointArn"], config.name) else "; made by somebody else"
        yield f"endpoint  {config.name}: {found['EndpointStatus']}{owner}"
        if reason := found.get("FailureReason"):
            yield f"reason    {reason}"
        yield f"config    {found['EndpointConfigName']}"
        for variant in found.get("ProductionVariants", ()):
            current, desired = variant.get("CurrentInstanceCount", 0), variant.get("DesiredInstanceCount", 0)
            yield f"instances {current} of {desired}" if desired or current else "instances none, or serverless"
            yield from (f"image     {image['ResolvedImage']}" for image in variant.get("DeployedImages", ()))
    yield from _around(calls, config)
    for kind, title in (("EndpointConfig", "configs"), ("Model", "models")):
        names = named_after(calls, kind, config.name)  # type: ignore[arg-type]
        yield f"{title:<9} {', '.join(names) or 'none'}"


def _around(calls: Calls, config: EndpointFile) -> Iterator[str]:
    target, policies = describe_autoscaling(calls, config)
    if target is None:
        yield "scaling   off"
    else:
        yield f"scaling   {target['MinCapacity']} to {target['MaxCapacity']} instances"
    for policy in policies:
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration")
        yield f"policy    {policy['PolicyName']}" + (f", target {tracking['TargetValue']:g}" if tracking else "")
    for alarm in calls.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix_of(config)):
        yield f"alarm     {alarm['AlarmName']}: {alarm['StateValue']}"
