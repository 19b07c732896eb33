"""`make smoke`: unmodified boto3 clients call the stand as they would call SageMaker, in its three ways."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from deploy.picture import terminal_picture
from deploy.running import ROOT
from deploy.stand.seed import BUCKET

_OUTPUT = ROOT / "build" / "stand"
_REQUEST = {"prompt": "a large red star on a black background", "seed": 7}
_INPUT = "requests/smoke.json"
_PATIENCE = {"Delay": 1, "MaxAttempts": 120}


def main() -> None:
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    runtime, objects = client("sagemaker-runtime", 8090), client("s3", 9000)
    ways: dict[str, Callable[[], bytes]] = {
        "at once": lambda: at_once(runtime),
        "streamed": lambda: streamed(runtime),
        "asynchronous": lambda: asynchronous(runtime, objects),
    }
    for way, call in ways.items():
        picture = call()
        path = _OUTPUT / f"{way.replace(' ', '_')}.png"
        path.write_bytes(picture)
        print(f"{way}: {path.relative_to(ROOT)}\n{terminal_picture(picture)}")


def client(service: str, port: int) -> Any:
    """On this machine; SageMaker's own differs in its address alone."""
    return boto3.client(
        service,
        endpoint_url=f"http://localhost:{port}",
        region_name="us-east-1",
        aws_access_key_id="stand",
        aws_secret_access_key="stand",
        config=Config(read_timeout=70, retries={"total_max_attempts": 1}),
    )


def at_once(runtime: Any) -> bytes:
    answer = runtime.invoke_endpoint(
        EndpointName="cartridge", ContentType="application/json", Body=json.dumps(_REQUEST)
    )
    return _picture(json.loads(answer["Body"].read()))


def streamed(runtime: Any) -> bytes:
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="cartridge", ContentType="application/json", Body=json.dumps({**_REQUEST, "stream": True})
    )
    text = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode()
    last = text.strip().split("\n\n")[-1]
    return _picture(json.loads(last.partition("data: ")[2]))


def asynchronous(runtime: Any, objects: Any) -> bytes:
    objects.put_object(Bucket=BUCKET, Key=_INPUT, Body=json.dumps(_REQUEST))
    answer = runtime.invoke_endpoint_async(
        EndpointName="cartridge", ContentType="application/json", InputLocation=f"s3://{BUCKET}/{_INPUT}"
    )
    place = urlsplit(answer["OutputLocation"])
    where = {"Bucket": place.netloc, "Key": place.path.lstrip("/")}
    objects.get_waiter("object_exists").wait(**where, WaiterConfig=_PATIENCE)
    return _picture(json.loads(objects.get_object(**where)["Body"].read()))


def _picture(response: dict[str, Any]) -> bytes:
    return base64.b64decode(response["images"][0]["b64_json"], validate=True)


if __name__ == "__main__":
    main()
