"""What preflight has found out, each thing once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.errors import Missing
from deploy.sagemaker.image import Image, read_image
from deploy.sagemaker.instances import INSTANCES, Instance
from deploy.sagemaker.policies import Scope
from deploy.sagemaker.sizes import RomSet, read_source


class Facts:
    """Reads, and never changes anything."""

    def __init__(self, calls: Calls, config: EndpointFile) -> None:
        self.calls = calls
        self.config = config

    @cached_property
    def scope(self) -> Scope:
        return Scope(self.config, self.calls.account, self.calls.partition)

    @cached_property
    def image(self) -> Image:
        """Raises Missing where there is none."""
        image = read_image(self.calls, self.config.image)
        if image is None:
            raise Missing(f"{self.config.image} is not in ECR")
        return image

    @cached_property
    def role(self) -> dict[str, Any]:
        """Raises Missing where there is none."""
        found = self.calls.find("iam", "get_role", RoleName=self.config.role)
        if found is None:
            raise Missing(f"there is no role {self.config.role!r}")
        role: dict[str, Any] = found["Role"]
        return role

    @cached_property
    def roms(self) -> RomSet:
        """Raises DeployError where the bucket cannot be read."""
        return read_source(self.config.roms.source, self.config.region)

    @cached_property
    def quotas(self) -> dict[str, float]:
        """By name: the region's defaults, and what applies to this account in their place."""
        found: dict[str, float] = {}
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            listed = self.calls.pages("service-quotas", operation, "Quotas", ServiceCode="sagemaker")
            found |= {quota["QuotaName"]: float(quota["Value"]) for quota in listed}
        return found

    @property
    def instances(self) -> list[Instance]:
        """Every type that may run."""
        return [INSTANCES[name] for name in (self.config.instances.types if self.config.instances else ())]
