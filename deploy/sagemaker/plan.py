"""What SageMaker is asked for, as its API takes it: pure functions of the file and of what was found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from deploy.local.container import MODEL_DIR
from deploy.sagemaker.config import SERVERLESS_BYTES, EndpointFile
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.image import Image
from deploy.sagemaker.instances import choose_ami
from deploy.sagemaker.names import VARIANT, content_name
from deploy.sagemaker.timeouts import StartTimes

CACHE_DIR = "/tmp/cartridge"  # where instances with a local disk have it


@dataclass(frozen=True)
class Named:
    """A resource: its name is a digest of its content, so that the same content is made once."""

    name: str
    request: dict[str, Any]  # without name and tags


@dataclass(frozen=True)
class Plan:
    model: Named
    endpoint_config: Named


def make_plan(config: EndpointFile, image: Image, role_arn: str, times: StartTimes) -> Plan:
    """Raises DeployError where no host fits the image's CUDA."""
    model = model_of(config, image, role_arn)
    request = _endpoint_config_request(config, model.name, times, image)
    return Plan(model, Named(content_name(config.name, request), request))


def model_of(
    config: EndpointFile, image: Image, role_arn: str, delivery: Literal["mount", "pull"] | None = None
) -> Named:
    """`delivery` is that of the file unless told."""
    delivery = delivery or config.roms.delivery
    container: dict[str, Any] = {"Image": image.uri, "Environment": environment(config, delivery)}
    if delivery == "mount":
        source = {"S3Uri": config.roms.source, "S3DataType": "S3Prefix", "CompressionType": "None"}
        container["ModelDataSource"] = {"S3DataSource": source}
    request: dict[str, Any] = {"PrimaryContainer": container, "ExecutionRoleArn": role_arn}
    if config.network_isolation:
        request["EnableNetworkIsolation"] = True
    if config.vpc:
        subnets, groups = list(config.vpc.subnets), list(config.vpc.security_groups)
        request["VpcConfig"] = {"Subnets": subnets, "SecurityGroupIds": groups}
    return Named(content_name(config.name, request), request)


def environment(config: EndpointFile, delivery: Literal["mount", "pull"]) -> dict[str, str]:
    """The container's, see docs/operations.md."""
    source = f"file://{MODEL_DIR}" if delivery == "mount" else f"{config.roms.source}?region={config.region}"
    found: dict[str, Any] = {
        "rom_sources": source,
        "preload": config.roms.preload,
        "ready": config.roms.ready,
        "cache_dir": CACHE_DIR,
    }
    if config.roms.pin:
        found["pin"] = config.roms.pin
    if config.kind == "serverless":
        found |= {"max_request_bytes": SERVERLESS_BYTES, "max_response_bytes": SERVERLESS_BYTES}
    return {f"CARTRIDGE_{name.upper()}": _text(value) for name, value in sorted({**found, **config.settings}.items())}


def concurrency(config: EndpointFile) -> float:
    """Requests that one instance works on at once, as a whole number.

    A batch has `max_batch_size` rows and an image with guidance takes two; never more than half of the queue, so that
    there is room in it while another instance starts.
    """
    settings = config.service_settings()
    return float(max(1, min(settings.max_batch_size // 2, settings.max_queue_size // 2)))


def ami_of(config: EndpointFile, image: Image) -> str | None:
    """The host's image; None: it has no GPU. Raises DeployError where none fits, or nothing tells which would."""
    if not config.has_gpu or config.instances is None:
        return None
    if config.instances.ami != "auto":
        return config.instances.ami
    cuda = config.instances.cuda or image.cuda
    if cuda is None:
        raise DeployError(
            "the image does not tell its CUDA version: set instances.cuda, such as 12.4, or instances.ami"
        )
    ami = choose_ami(cuda)
    if ami is None:
        raise DeployError(
            f"no host of SageMaker runs CUDA {cuda}: build the image for an older one, or set instances.ami"
        )
    return ami.name


def _endpoint_config_request(config: EndpointFile, model: str, times: StartTimes, image: Image) -> dict[str, Any]:
    """Data is not captured: prompts and pictures are the callers'."""
    request: dict[str, Any] = {"ProductionVariants": [_variant(config, model, times, image)]}
    if config.kms_key and config.instance and not config.instance.nvme_gb:
        request["KmsKeyId"] = config.kms_key  # local disks encrypt themselves
    if config.asynchronous:
        request["AsyncInferenceConfig"] = _async_request(config)
    return request


def _variant(config: EndpointFile, model: str, times: StartTimes, image: Image) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": model, "InitialVariantWeight": 1.0}
    if part := config.serverless:
        variant["ServerlessConfig"] = {"MemorySizeInMB": part.memory_mb, "MaxConcurrency": part.max_concurrency}
        if part.provisioned_concurrency:
            variant["ServerlessConfig"]["ProvisionedConcurrency"] = part.provisioned_concurrency
        return variant
    instances = config.instances
    assert instances is not None and config.instance is not None
    if len(instances.types) == 1:
        variant["InstanceType"] = instances.types[0]
    else:
        pools = [{"InstanceType": name, "Priority": rank} for rank, name in enumerate(instances.types, start=1)]
        variant["InstancePools"] = pools
    variant |= {
        "InitialInstanceCount": instances.count,
        "VariantInstanceProvisionTimeoutInSeconds": config.timeouts.provision_s,
        "ModelDataDownloadTimeoutInSeconds": times.download_s,
        "ContainerStartupHealthCheckTimeoutInSeconds": times.startup_s,
    }
    if config.kind == "real_time":  # others wait in SageMaker's queue
        variant["RoutingConfig"] = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    if instances.volume_gb and not config.instance.nvme_gb:
        variant["VolumeSizeInGB"] = instances.volume_gb
    if ami := ami_of(config, image):
        variant["InferenceAmiVersion"] = ami
    return variant


def _async_request(config: EndpointFile) -> dict[str, Any]:
    part = config.asynchronous
    assert part is not None
    output: dict[str, Any] = {"S3OutputPath": part.output}
    if part.failure:
        output["S3FailurePath"] = part.failure
    if config.kms_key:
        output["KmsKeyId"] = config.kms_key
    topics = {"SuccessTopic": part.success_topic, "ErrorTopic": part.error_topic}
    if told := {name: topic for name, topic in topics.items() if topic}:
        output["NotificationConfig"] = told
    most = part.max_concurrent or int(concurrency(config))
    return {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": most}, "OutputConfig": output}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
