"""`smoke`: one request through SageMaker itself, and the picture that comes back."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.waiting import Patience, wait_for

_INPUT = "smoke/request.json"


@dataclass(frozen=True)
class Smoke:
    """What came back."""

    image: bytes
    model: str
    seconds: float  # as the service tells them


def smoke(calls: Calls, config: EndpointFile, fields: dict[str, Any], patience: Patience) -> Smoke | None:
    """One image. None: a dry run. Raises DeployError where none comes back, with the service's own words."""
    body = json.dumps(fields)
    answer = _asynchronously(calls, config, body, patience) if config.asynchronous else _at_once(calls, config, body)
    if answer is None:
        return None
    try:
        response = json.loads(answer)
        image = base64.b64decode(response["images"][0]["b64_json"], validate=True)
        return Smoke(image, response["model"], response["timings"]["total_s"])
    except (ValueError, LookupError, TypeError) as error:
        raise DeployError(f"the endpoint answered without an image: {answer[:500].decode(errors='replace')}") from error


def _at_once(calls: Calls, config: EndpointFile, body: str) -> bytes | None:
    answer = calls.change(
        "sagemaker-runtime", "invoke_endpoint", EndpointName=config.name, ContentType="application/json", Body=body
    )
    return answer["Body"].read() if answer else None


def _asynchronously(calls: Calls, config: EndpointFile, body: str, patience: Patience) -> bytes | None:
    assert config.asynchronous is not None
    bucket, prefix = _split(config.asynchronous.output)
    calls.change("s3", "put_object", Bucket=bucket, Key=prefix + _INPUT, Body=body, ContentType="application/json")
    answer = calls.change(
        "sagemaker-runtime",
        "invoke_endpoint_async",
        EndpointName=config.name,
        ContentType="application/json",
        InputLocation=f"s3://{bucket}/{prefix}{_INPUT}",
    )
    if not answer:
        return None
    places = [answer["OutputLocation"], answer.get("FailureLocation")]

    def look() -> list[bytes]:
        return [found for place in places if place and (found := _fetch(calls, place)) is not None]

    return wait_for(calls, f"{answer['OutputLocation']} is there", look, bool, patience)[0]


def _fetch(calls: Calls, address: str) -> bytes | None:
    bucket, key = _split(address)
    found = calls.find("s3", "get_object", Bucket=bucket, Key=key)
    return None if found is None else found["Body"].read()


def _split(address: str) -> tuple[str, str]:
    """Bucket and key."""
    parts = urlsplit(address)
    return parts.netloc, parts.path.lstrip("/")
