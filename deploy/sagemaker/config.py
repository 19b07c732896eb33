"""`endpoint.yaml`: one endpoint, whole. Unknown fields are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from app.settings import Settings
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.instances import INSTANCES, Instance
from deploy.sagemaker.parts import (
    Arn,
    Async,
    Autoscaling,
    Batch,
    Instances,
    Part,
    Rollout,
    Roms,
    Serverless,
    Timeouts,
    Vpc,
)

NO_PREFIX = "CARTRIDGE_OF_NOBODY_"  # so that this machine's environment does not speak for the container's
DERIVED_SETTINGS = ("rom_sources", "model_dir", "preload", "ready", "pin", "cache_dir", "multi_model")
PLATFORM_TIMEOUT_S = 60.0  # of an invocation
SERVERLESS_BYTES = 4 * 1024 * 1024  # of a request or a response


class EndpointFile(Part):
    name: str = Field(pattern=r"^[a-z0-9](-?[a-z0-9]){0,39}$")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    kind: Literal["real_time", "async", "serverless"] = "real_time"
    image: str = Field(
        pattern=r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+(:[\w.-]+|@sha256:[0-9a-f]{64})$"
    )
    role: str = Field(pattern=r"^[\w+=,.@-]{1,64}$")
    roms: Roms
    instances: Instances | None = None
    serverless: Serverless | None = None
    asynchronous: Async | None = Field(default=None, alias="async")
    timeouts: Timeouts = Timeouts()
    autoscaling: Autoscaling | None = None
    rollout: Rollout = Rollout()
    network_isolation: bool = False
    vpc: Vpc | None = None
    kms_key: Arn | None = None
    settings: dict[str, str | int | float | bool] = Field(default={})
    batch: Batch | None = None
    tags: dict[str, str] = Field(default={})

    @property
    def instance(self) -> Instance | None:
        """The type that is tried first; None: serverless."""
        return INSTANCES[self.instances.types[0]] if self.instances else None

    @property
    def has_gpu(self) -> bool:
        return self.instance is not None and self.instance.gpus > 0

    @property
    def max_instances(self) -> int:
        """That may ever run of a type."""
        count = self.instances.count if self.instances else 0
        return max(count, self.autoscaling.max) if self.autoscaling else count

    def service_settings(self) -> Settings:
        """The service's settings as far as this file tells them; the rest has its defaults."""
        return Settings(_env_prefix=NO_PREFIX, **self.settings)  # type: ignore[arg-type]

    @field_validator("settings")
    @classmethod
    def _known_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for name in settings:
            if name in DERIVED_SETTINGS:
                raise ValueError(f"{name}: follows from other fields of this file")
            if name not in Settings.model_fields:
                raise ValueError(f"{name}: the service has no such setting; see docs/operations.md")
        try:
            Settings(_env_prefix=NO_PREFIX, **settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{first['loc'][0]}: {first['msg']}") from None
        return settings

    @model_validator(mode="after")
    def _consistent(self) -> EndpointFile:
        faults = [*self._kind_faults(), *self._feature_faults()]
        if faults:
            raise ValueError(faults[0])
        return self

    def _kind_faults(self) -> list[str]:
        wants = {"real_time": {"instances"}, "async": {"instances", "async"}, "serverless": {"serverless"}}[self.kind]
        parts = {"instances": self.instances, "serverless": self.serverless, "async": self.asynchronous}
        faults = [f"{name}: a {self.kind} endpoint needs it" for name in wants if parts[name] is None]
        faults += [f"{name}: not of a {self.kind} endpoint" for name in parts if parts[name] and name not in wants]
        if self.kind == "serverless":
            refused = {"vpc": self.vpc, "network_isolation": self.network_isolation, "autoscaling": self.autoscaling}
            faults += [
                f"{name}: SageMaker has none for serverless endpoints" for name, there in refused.items() if there
            ]
            if self.roms.delivery == "mount":
                faults.append("roms.delivery: SageMaker mounts no prefix into serverless endpoints; take pull")
        return faults

    def _feature_faults(self) -> list[str]:
        faults = []
        if self.network_isolation and self.roms.delivery == "pull":
            faults.append("network_isolation: a container without a network cannot pull ROMs; take roms.delivery mount")
        scaling, instances = self.autoscaling, self.instances
        if scaling and instances and not scaling.min <= instances.count <= scaling.max:
            faults.append("instances.count: must lie between autoscaling.min and autoscaling.max")
        if self.autoscaling and self.autoscaling.min == 0 and self.kind != "async":
            faults.append("autoscaling.min: 0 is for asynchronous endpoints, whose requests wait in a queue")
        if self.rollout.strategy == "rolling" and self.instances and self.instances.count < 2:
            faults.append(
                "rollout.strategy: rolling replaces at most half of the fleet at once; it needs two instances"
            )
        if self.rollout.traffic == "linear" and self.rollout.step_percent < 10:
            faults.append("rollout.step_percent: 10 at least where traffic is linear")
        if self.service_settings().request_timeout_s > PLATFORM_TIMEOUT_S - 5:
            faults.append(
                "settings.request_timeout_s: SageMaker ends an invocation after 60 s, nginx after 70; 55 at most"
            )
        if foreign := [tag for tag in self.tags if tag.startswith(("aws:", "cartridge:"))]:
            faults.append(f"tags: {foreign[0]!r} is not yours to set")
        return faults


def read_config(path: Path) -> EndpointFile:
    """Raises DeployError naming the file, the field and what is allowed."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DeployError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DeployError(f"{path} must hold a mapping")
    try:
        return EndpointFile.model_validate(content)
    except ValidationError as error:
        raise DeployError("\n".join(f"{path.name}: {_told(problem)}" for problem in error.errors())) from error


def _told(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(("tuple", "literal", "function")))
    if problem["type"] == "extra_forbidden":
        return f"{field}: there is no such field"
    return ": ".join(filter(None, (field, problem["msg"].removeprefix("Value error, "))))
