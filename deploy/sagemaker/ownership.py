"""What SageMaker has under an endpoint's name, and whether it is ours: it is where it carries the endpoint's tag."""

from __future__ import annotations

from typing import Any, Literal

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.names import ENDPOINT_TAG, carries

Kind = Literal["EndpointConfig", "Model"]
_LISTS = {"EndpointConfig": ("list_endpoint_configs", "EndpointConfigs"), "Model": ("list_models", "Models")}


def find_endpoint(calls: Calls, name: str) -> dict[str, Any] | None:
    """As it is described; None: there is none."""
    return calls.find("sagemaker", "describe_endpoint", EndpointName=name)


def is_ours(calls: Calls, arn: str, name: str) -> bool:
    return carries(calls.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn), ENDPOINT_TAG, name)


def require_ours(calls: Calls, endpoint: dict[str, Any], name: str) -> None:
    """Raises DeployError where somebody else made the endpoint."""
    if not is_ours(calls, endpoint["EndpointArn"], name):
        raise DeployError(
            f"endpoint {name!r} does not carry the tag {ENDPOINT_TAG}={name}: these scripts did not make it and do not "
            "touch it; choose another name in the file"
        )


def named_after(calls: Calls, kind: Kind, name: str) -> list[str]:
    """Names of the endpoint's configurations or models, those of earlier versions among them."""
    operation, key = _LISTS[kind]
    listed = calls.pages("sagemaker", operation, key, NameContains=name)
    found = [(item[f"{kind}Name"], item[f"{kind}Arn"]) for item in listed]
    return sorted(one for one, arn in found if one.startswith(f"{name}-") and is_ours(calls, arn, name))
