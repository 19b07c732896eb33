"""`push`: an ECR repository, its lifecycle policy, and the image in it, known by its digest."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import app as package
from deploy.running import ROOT
from deploy.sagemaker.calls import Calls, holds
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.image import CUDA_LABEL, Image, read_image
from deploy.sagemaker.names import REPOSITORY_TAG, carries, tags

_NEWEST_CUDA = "cu130"  # that a host of SageMaker has a driver for
# Tagged images are never expired: an endpoint that grows pulls its image again, however old that is.
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "images that lost their tag",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 14,
            },
            "action": {"type": "expire"},
        }
    ]
}


@dataclass(frozen=True)
class Push:
    """What is pushed where."""

    repository: str
    tag: str = package.__version__
    architecture: str = "amd64"
    flavour: str = "cpu"  # of torch, as it names its builds: cpu, cu126, cu130
    dockerfile: Path = ROOT / "Dockerfile"
    kms_key: str | None = None


def push(calls: Calls, what: Push) -> Image | None:
    """The image as ECR has it. A tag that is there is not pushed again: tags are immutable. None: a dry run.

    Raises DeployError.
    """
    if _ensure_repository(calls, what):
        _ensure_lifecycle(calls, what.repository)
    uri = f"{_registry(calls)}/{what.repository}:{what.tag}"
    found = read_image(calls, uri)
    if found is None:
        _build_and_push(calls, what, uri)
        found = None if calls.dry_run else read_image(calls, uri)
        if found is None and not calls.dry_run:
            raise DeployError(f"docker pushed {uri}, and ECR does not have it; look at docker's output")
    return found


def _ensure_repository(calls: Calls, what: Push) -> bool:
    """Whether it is ours; one that others made is pushed to, and left as it is otherwise."""
    found = calls.find("ecr", "describe_repositories", repositoryNames=[what.repository])
    if found is not None:
        arn = found["repositories"][0]["repositoryArn"]
        is_ours = carries(
            calls.read("ecr", "list_tags_for_resource", resourceArn=arn)["tags"], REPOSITORY_TAG, what.repository
        )
        if not is_ours:
            calls.show(f"{what.repository} is not tagged {REPOSITORY_TAG}: its lifecycle policy is left as it is")
        return is_ours
    encryption = {"encryptionType": "KMS", "kmsKey": what.kms_key} if what.kms_key else {"encryptionType": "AES256"}
    calls.change(
        "ecr",
        "create_repository",
        repositoryName=what.repository,
        tags=tags(REPOSITORY_TAG, what.repository),
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration=encryption,
    )
    return True


def _ensure_lifecycle(calls: Calls, repository: str) -> None:
    found = calls.find("ecr", "get_lifecycle_policy", repositoryName=repository)
    if found is None or not holds(json.loads(found["lifecyclePolicyText"]), LIFECYCLE):
        calls.change(
            "ecr", "put_lifecycle_policy", repositoryName=repository, lifecyclePolicyText=json.dumps(LIFECYCLE)
        )


def _build_and_push(calls: Calls, what: Push, uri: str) -> None:
    if not what.dockerfile.exists() and not calls.dry_run:
        raise DeployError(f"{what.dockerfile} is missing: push from a checkout, or tell --dockerfile")
    # SageMaker refuses OCI manifests, and takes one image, not a list: so no provenance, and docker's media types.
    platform = f"linux/{what.architecture}"
    build = ["docker", "buildx", "build", "--platform", platform, "--provenance=false", "--output", "type=docker"]
    build += ["--build-arg", f"PLATFORM={platform}", "--build-arg", f"FLAVOUR={what.flavour}"]
    if cuda := cuda_of(what.flavour):
        build += ["--label", f"{CUDA_LABEL}={cuda}"]
    calls.run([*build, "--tag", uri, "--file", what.dockerfile.name, "."], cwd=what.dockerfile.parent)
    login = ["docker", "login", "--username", "AWS", "--password-stdin", _registry(calls)]
    calls.run(login, secret=None if calls.dry_run else _password(calls))
    calls.run(["docker", "push", uri])


def flavour_for(config: EndpointFile) -> str:
    """Of torch, that the endpoint's instances need."""
    if not config.has_gpu or config.instances is None:
        return "cpu"
    return f"cu{config.instances.cuda.replace('.', '')}" if config.instances.cuda else _NEWEST_CUDA


def cuda_of(flavour: str) -> str | None:
    """`cu130` is 13.0; None: without CUDA. Raises DeployError for what torch has no builds of."""
    if flavour == "cpu":
        return None
    found = re.fullmatch(r"cu(\d{2})(\d)", flavour)
    if found is None:
        raise DeployError(f"flavour: {flavour!r} is neither cpu nor one with CUDA, such as {_NEWEST_CUDA}")
    return f"{found[1]}.{found[2]}"


def _password(calls: Calls) -> str:
    """Of the registry, for twelve hours."""
    token = calls.read("ecr", "get_authorization_token")["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


def _registry(calls: Calls) -> str:
    suffix = "amazonaws.com.cn" if calls.partition == "aws-cn" else "amazonaws.com"
    return f"{calls.account}.dkr.ecr.{calls.region}.{suffix}"
