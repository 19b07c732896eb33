"""`delete`: what carries the endpoint's tag, in an order in which an interrupted run can be run again."""

from __future__ import annotations

from functools import partial

from deploy.sagemaker.autoscaling import remove_autoscaling
from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.endpoint import remove_parts, settle
from deploy.sagemaker.ownership import find_endpoint, require_ours
from deploy.sagemaker.rollout import remove_alarms
from deploy.sagemaker.waiting import Patience, wait_for


def delete(calls: Calls, config: EndpointFile, patience: Patience) -> None:
    """Scaling, alarms, endpoint, configurations, models. ROMs, image, roles and logs stay.

    Scaling goes while the endpoint is there, which alone tells whose it is. Raises DeployError where the endpoint is
    somebody else's; then nothing is deleted.
    """
    found = settle(calls, config.name, patience)
    if found is not None:
        require_ours(calls, found, config.name)
        remove_autoscaling(calls, config)
    remove_alarms(calls, config)
    if found is not None:
        calls.change("sagemaker", "delete_endpoint", EndpointName=config.name)
        look = partial(find_endpoint, calls, config.name)
        wait_for(calls, f"{config.name} is gone", look, lambda seen: seen is None, patience)
    remove_parts(calls, config, kept=set())
