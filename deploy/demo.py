"""`make demo`: start the service, ask it for eight images with an unchanged boto3 client, save them, stop it."""

from __future__ import annotations

import base64
import io
import json
import os

import boto3
from botocore.config import Config
from PIL import Image

from deploy.running import ROOT, running_service
from evaluation.sheet import contact_sheet

PROMPTS = (
    "a large red star on a black background",
    "an ink sketch of a blue ring on a cream background",
    "a handwritten seven in blue ink on cream paper",
    "a yellow heart to the left of a purple square on grey",
    "four orange triangles on mint",
    "a pen drawing of three green circles on white, hatched",
    "the number 42 written in chalk on a blackboard",
    "a hatched drawing of a large pink cross on navy",
)
_OUTPUT = ROOT / "build" / "demo"
_SEED = 7


def main() -> None:
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    with running_service() as url:
        os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = url
        answers = [_invoke(index, prompt) for index, prompt in enumerate(PROMPTS)]
    captions = [f"{prompt} ({rom})" for prompt, (_, rom) in zip(PROMPTS, answers, strict=True)]
    sheet = _OUTPUT / "sheet.png"
    contact_sheet([image for image, _ in answers], captions, columns=4).save(sheet)
    print(f"{len(answers)} images and the contact sheet are in {_OUTPUT}")


def _invoke(index: int, prompt: str) -> tuple[Image.Image, str]:
    """What any SageMaker client does: invoke_endpoint, JSON in, JSON out. The image, and the ROM that drew it."""
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
    return Image.open(io.BytesIO(data)), response["model"]


if __name__ == "__main__":
    main()
