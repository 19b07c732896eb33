"""The sections of an endpoint's file. What a value means, and its default, is in docs/deploy.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.roms.manifest import ROM_ID
from deploy.sagemaker.instances import AMIS, INSTANCES, parse_cuda

S3_PREFIX = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(\S*/)?$"  # ends in a slash, as SageMaker wants it
RomId = Annotated[str, Field(pattern=ROM_ID.pattern)]
S3Prefix = Annotated[str, Field(pattern=S3_PREFIX)]
Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:")]
AMI_NAMES = ("auto", "al2-ami-sagemaker-inference-gpu-2", *(ami.name for ami in AMIS))


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Roms(Part):
    """Which ROMs, and how they come into the container."""

    source: S3Prefix
    delivery: Literal["mount", "pull"] = "mount"
    preload: tuple[RomId, ...] | Literal["all", "none"] = "all"
    ready: tuple[RomId, ...] | Literal["all", "any"] = "any"
    pin: tuple[RomId, ...] = ()


class Instances(Part):
    """The machines of a real-time or asynchronous endpoint."""

    types: tuple[str, ...] = Field(min_length=1, max_length=5)
    count: int = Field(default=1, ge=1, le=1000)
    volume_gb: int | None = Field(default=None, ge=1, le=512)
    cuda: str | None = None
    ami: str = "auto"

    @model_validator(mode="after")
    def _known(self) -> Instances:
        if unknown := [name for name in self.types if name not in INSTANCES]:
            raise ValueError(
                f"types: {unknown[0]!r} is not in deploy/sagemaker/instances.py; there are {', '.join(INSTANCES)}"
            )
        if len({(INSTANCES[name].gpus > 0, INSTANCES[name].architecture) for name in self.types}) > 1:
            raise ValueError("types: all with a GPU or none, and all of one architecture, because they share an image")
        if self.ami not in AMI_NAMES:
            raise ValueError(f"ami: {self.ami!r} is none of {', '.join(AMI_NAMES)}")
        if self.cuda is not None:
            try:
                parse_cuda(self.cuda)
            except ValueError:
                raise ValueError(f"cuda: {self.cuda!r} is no version such as 12.4") from None
        return self


class Serverless(Part):
    """The memory of a serverless endpoint, which has no GPU."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 6144
    max_concurrency: int = Field(default=5, ge=1, le=200)
    provisioned_concurrency: int | None = Field(default=None, ge=1, le=200)


class Async(Part):
    """Where an asynchronous endpoint puts its answers."""

    output: S3Prefix
    failure: S3Prefix | None = None
    max_concurrent: int | None = Field(default=None, ge=1, le=1000)
    success_topic: Arn | None = None
    error_topic: Arn | None = None


class Timeouts(Part):
    """Seconds; None is derived from the bytes of the ROMs."""

    download_s: int | None = Field(default=None, ge=60, le=3600)
    startup_s: int | None = Field(default=None, ge=60, le=3600)
    provision_s: int = Field(default=1800, ge=300, le=3600)


class Autoscaling(Part):
    """How many instances there may be, and when there are more."""

    min: int = Field(ge=0)
    max: int = Field(ge=1)
    target: float | None = Field(default=None, gt=0)
    scale_out_cooldown_s: int = Field(default=60, ge=0, le=3600)
    scale_in_cooldown_s: int = Field(default=600, ge=0, le=3600)

    @model_validator(mode="after")
    def _in_order(self) -> Autoscaling:
        if self.min > self.max:
            raise ValueError(f"min: {self.min} is more than max, {self.max}")
        return self


class Alarms(Part):
    """What rolls an update back."""

    errors_5xx: int = Field(default=5, ge=1)
    model_errors: int = Field(default=5, ge=1)
    latency_s: float = Field(default=58.0, gt=0, le=3600)


class Rollout(Part):
    """How an update replaces what runs."""

    strategy: Literal["blue_green", "rolling"] = "blue_green"
    traffic: Literal["all_at_once", "canary", "linear"] = "canary"
    step_percent: int = Field(default=20, ge=5, le=50)
    wait_s: int = Field(default=300, ge=0, le=3600)
    termination_wait_s: int = Field(default=300, ge=0, le=3600)
    max_execution_s: int = Field(default=7200, ge=600, le=28800)
    alarms: Alarms = Alarms()


class Vpc(Part):
    """Where the containers' network interfaces are."""

    subnets: tuple[str, ...] = Field(min_length=1, max_length=16)
    security_groups: tuple[str, ...] = Field(min_length=1, max_length=5)


class Batch(Part):
    """A batch transform job: JSON lines in, JSON lines out."""

    input: S3Prefix
    output: S3Prefix
    instance_type: str
    count: int = Field(default=1, ge=1, le=100)
    max_concurrent: int = Field(default=2, ge=1, le=100)
    max_payload_mb: int = Field(default=6, ge=1, le=100)

    @model_validator(mode="after")
    def _within_limits(self) -> Batch:
        if self.instance_type not in INSTANCES:
            raise ValueError(f"instance_type: {self.instance_type!r} is none of {', '.join(INSTANCES)}")
        if self.max_concurrent * self.max_payload_mb > 100:
            raise ValueError("max_concurrent: times max_payload_mb it may be 100 at most")
        return self
