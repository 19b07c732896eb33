"""Of the image: it is there, and SageMaker will start it."""

from __future__ import annotations

from deploy.sagemaker.errors import DeployError, Missing
from deploy.sagemaker.image import CUDA_LABEL, DOCKER_MANIFEST, MODELS_LABEL, PORT_LABEL, ImageUri
from deploy.sagemaker.instances import AMIS, parse_cuda
from deploy.sagemaker.plan import ami_of
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.preflight.verdict import Verdict, failed, passed, warned

_SERVERLESS_IMAGE_BYTES = 10 * 1024**3


def check_image(facts: Facts) -> Verdict:
    uri = ImageUri.parse(facts.config.image)
    if uri.region != facts.config.region:
        return failed(
            f"it is in {uri.region}, the endpoint in {facts.config.region}", "push it to the endpoint's region"
        )
    try:
        image = facts.image
    except Missing as error:
        return failed(str(error), "run: python -m deploy push")
    if facts.config.kind == "serverless" and image.nbytes > _SERVERLESS_IMAGE_BYTES:
        return failed(f"{image.nbytes:,} bytes: a serverless endpoint takes 10 GiB", "build the image for CPUs")
    return passed(image.uri)


def check_manifest(facts: Facts) -> Verdict:
    """SageMaker takes one image with docker's manifest."""
    found = facts.image.media_type
    if found != DOCKER_MANIFEST:
        advice = "build with --provenance=false --output type=docker, as `push` does, under a new tag"
        return failed(f"{found}: SageMaker refuses OCI manifests and lists of images", advice)
    return passed(found)


def check_architecture(facts: Facts) -> Verdict:
    wanted = facts.instances[0].architecture if facts.instances else "amd64"
    if facts.image.architecture != wanted:
        found = facts.image.architecture or "none"
        return failed(
            f"the image is for {found}, the instances are {wanted}: the container would end with 'exec format error'",
            f"push with --architecture {wanted}, or choose other instances.types",
        )
    return passed(wanted)


def check_labels(facts: Facts) -> Verdict:
    labels, entrypoint = facts.image.labels, facts.image.entrypoint
    if missing := [name for name in (PORT_LABEL, MODELS_LABEL) if labels.get(name) != "true"]:
        return failed(f"without {missing[0]}=true", "push the image that this checkout's Dockerfile builds")
    if entrypoint[:2] == ["/bin/sh", "-c"]:
        return failed("ENTRYPOINT is in shell form, so that SIGTERM does not reach the service", "use its JSON form")
    return passed("those that SageMaker asks for")


def check_cuda(facts: Facts) -> Verdict:
    """The driver of the host runs the CUDA of the image."""
    config = facts.config
    if not config.has_gpu or config.instances is None:
        return passed("no GPU")
    cuda = config.instances.cuda or facts.image.cuda
    try:
        name = ami_of(config, facts.image)
    except DeployError as error:
        return failed(str(error), f"label the image {CUDA_LABEL}, or set instances.cuda")
    ami = next((one for one in AMIS if one.name == name), None)
    if ami is None or cuda is None:
        return warned(f"{name}, whatever CUDA the image has", "set instances.cuda, so that this can be checked")
    has = ".".join(map(str, ami.cuda))
    told = f"CUDA {cuda} on {ami.name} (driver {ami.driver}, CUDA {has})"
    if ami.cuda[0] < parse_cuda(cuda)[0]:
        return failed(f"{told}: the driver is too old", "set instances.ami to auto, or build for an older CUDA")
    if ami.cuda[0] > parse_cuda(cuda)[0] or ami.cuda < parse_cuda(cuda):
        return warned(f"{told}: not the same version", "NVIDIA promises that it runs; try it with `smoke`")
    return passed(told)
