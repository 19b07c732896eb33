"""`batch`: a transform job over files of JSON lines, with the ROMs pulled by the container."""

from __future__ import annotations

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.endpoint import BATCH_MARK, ensure_model
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.image import Image
from deploy.sagemaker.names import ENDPOINT_TAG, content_name, tags
from deploy.sagemaker.parts import Batch
from deploy.sagemaker.plan import Named, ami_of, model_of
from deploy.sagemaker.waiting import Patience

_INVOCATION_TIMEOUT_S = 60
_ENDED_BADLY = {"Failed", "Stopped"}


def start_batch(calls: Calls, config: EndpointFile, image: Image, role_arn: str, patience: Patience) -> str:
    """The job's name. The same input and output are one job; where that failed or was stopped, another is started.

    Raises DeployError where the file has no `batch`.
    """
    part = config.batch
    if part is None:
        raise DeployError("the file has no batch: it tells input, output and instance_type")
    model = batch_model(config, image, role_arn)
    ensure_model(calls, config, model, patience)
    request = _job_request(config, part, model, image)
    prefix = content_name(config.name, request)
    listed = calls.pages("sagemaker", "list_transform_jobs", "TransformJobSummaries", NameContains=prefix)
    earlier: dict[str, str] = {job["TransformJobName"]: job["TransformJobStatus"] for job in listed}
    for name, status in earlier.items():
        if status not in _ENDED_BADLY:
            calls.show(f"{name} is {status}: nothing to start")
            return name
    name = f"{prefix}-{len(earlier) + 1}"
    job_tags = tags(ENDPOINT_TAG, config.name, config.tags)
    calls.change("sagemaker", "create_transform_job", TransformJobName=name, **request, Tags=job_tags)
    return name


def batch_model(config: EndpointFile, image: Image, role_arn: str) -> Named:
    """Of its own, because SageMaker mounts no prefix for batch jobs."""
    request = model_of(config, image, role_arn, delivery="pull").request
    request.pop("EnableNetworkIsolation", None)
    return Named(content_name(config.name + BATCH_MARK.rstrip("-"), request), request)


def _job_request(config: EndpointFile, part: Batch, model: Named, image: Image) -> dict[str, object]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": part.input}}
    output = {"S3OutputPath": part.output, "Accept": "application/json", "AssembleWith": "Line"}
    resources: dict[str, object] = {"InstanceType": part.instance_type, "InstanceCount": part.count}
    if config.kms_key:
        output["KmsKeyId"] = config.kms_key
    if ami := ami_of(config, image):
        resources["TransformAmiVersion"] = ami
    return {
        "ModelName": model.name,
        "BatchStrategy": "SingleRecord",
        "MaxConcurrentTransforms": part.max_concurrent,
        "MaxPayloadInMB": part.max_payload_mb,
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": _INVOCATION_TIMEOUT_S, "InvocationsMaxRetries": 1},
        "TransformInput": {"DataSource": source, "ContentType": "application/json", "SplitType": "Line"},
        "TransformOutput": output,
        "TransformResources": resources,
    }
