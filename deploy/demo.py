"""`make demo`: start the service, ask it for eight images with an unchanged boto3 client, save them, stop it."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
from botocore.config import Config
from PIL import Image

from evaluation.sheet import contact_sheet

PROMPTS = (
    "a large red star on a black background",
    "a small blue ring on a cream background",
    "three green circles on a white background",
    "a yellow heart to the left of a purple square on grey",
    "a large pink cross above a small cyan diamond on a navy background",
    "four orange triangles on mint",
    "a big green diamond on black",
    "a tiny red circle below a huge blue square on a white background",
)
_ROOT = Path(__file__).resolve().parent.parent
_OUTPUT = _ROOT / "build" / "demo"
_SEED = 7
_START_TIMEOUT_S = 120.0


def main() -> None:
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    with running_service() as url:
        os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = url
        images = [_invoke(index, prompt) for index, prompt in enumerate(PROMPTS)]
    sheet = _OUTPUT / "sheet.png"
    contact_sheet(images, list(PROMPTS)).save(sheet)
    print(f"{len(images)} images and the contact sheet are in {_OUTPUT}")


def _invoke(index: int, prompt: str) -> Image.Image:
    """What any SageMaker client does: invoke_endpoint, JSON in, JSON out."""
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(read_timeout=70, retries={"total_max_attempts": 1}),
    )
    body = json.dumps({"prompt": prompt, "seed": _SEED})
    answer = client.invoke_endpoint(EndpointName="cartridge", ContentType="application/json", Body=body)
    response = json.loads(answer["Body"].read())
    data = base64.b64decode(response["images"][0]["b64_json"])
    path = _OUTPUT / f"{index + 1}.png"
    path.write_bytes(data)
    print(f"{path.name}  {response['model']}  {response['timings']['total_s']:.2f} s  {prompt}")
    return Image.open(io.BytesIO(data))


@contextmanager
def running_service() -> Iterator[str]:
    """`./serve` on a free port, ready; its address. Stopped on leaving."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, str(_ROOT / "serve")], env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port)}
    )
    try:
        _wait_until_ready(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _is_ready(url):
        if process.poll() is not None:
            raise SystemExit(f"the service ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise SystemExit("the service did not become ready")
        time.sleep(0.2)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
