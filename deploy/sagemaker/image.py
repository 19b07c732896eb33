"""The image in ECR: which digest a tag means, and what its manifest and configuration say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.errors import DeployError

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_MEDIA_TYPES = (
    DOCKER_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
CUDA_LABEL = "com.amazonaws.sagemaker.inference.cuda.verified_versions"
PORT_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
MODELS_LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"
_URI = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z.]+)/(?P<repository>[^:@]+)[:@](?P<id>.+)"
)
_CONFIG_TIMEOUT_S = 30


@dataclass(frozen=True)
class ImageUri:
    registry: str
    account: str
    region: str
    repository: str
    id: str  # a tag, or sha256:...

    @classmethod
    def parse(cls, uri: str) -> ImageUri:
        match = _URI.fullmatch(uri)
        if match is None:
            raise DeployError(f"image: {uri!r} is no image in ECR")
        return cls(**match.groupdict())

    @property
    def as_id(self) -> dict[str, str]:
        """As ECR takes it."""
        return {"imageDigest" if self.id.startswith("sha256:") else "imageTag": self.id}


@dataclass(frozen=True)
class Image:
    """What ECR has."""

    uri: str  # with its digest
    media_type: str
    nbytes: int  # compressed, of all layers
    configuration: dict[str, Any] | None  # None: the manifest is a list of others

    @property
    def architecture(self) -> str:
        return str((self.configuration or {}).get("architecture", ""))

    @property
    def labels(self) -> dict[str, str]:
        return ((self.configuration or {}).get("config") or {}).get("Labels") or {}

    @property
    def entrypoint(self) -> list[str]:
        return ((self.configuration or {}).get("config") or {}).get("Entrypoint") or []

    @property
    def cuda(self) -> str | None:
        """The version that it says it was tried with; of several the last."""
        versions = self.labels.get(CUDA_LABEL, "").replace(",", " ").split()
        return versions[-1] if versions else None


def read_image(calls: Calls, uri: str) -> Image | None:
    """None: there is no such image. Raises DeployError."""
    parsed = ImageUri.parse(uri)
    where = {"registryId": parsed.account, "repositoryName": parsed.repository}
    answer = calls.find(
        "ecr", "batch_get_image", **where, imageIds=[parsed.as_id], acceptedMediaTypes=list(_MEDIA_TYPES)
    )
    if answer is None or not answer.get("images"):
        return None
    found = answer["images"][0]
    manifest = json.loads(found["imageManifest"])
    pinned = f"{parsed.registry}/{parsed.repository}@{found['imageId']['imageDigest']}"
    media_type = found.get("imageManifestMediaType") or manifest.get("mediaType", "")
    layers = sum(layer.get("size", 0) for layer in manifest.get("layers", ()))
    configuration = None
    if "config" in manifest:
        blob = calls.read("ecr", "get_download_url_for_layer", **where, layerDigest=manifest["config"]["digest"])
        configuration = _download(blob["downloadUrl"])
    return Image(pinned, media_type, layers, configuration)


def _download(url: str) -> dict[str, Any]:
    """A small JSON object from the address that ECR signed."""
    try:
        with urlopen(url, timeout=_CONFIG_TIMEOUT_S) as answer:
            content: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        raise DeployError(f"the image's configuration cannot be read: {error}") from error
    return content
