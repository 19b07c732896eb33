"""An unchanged boto3 client, as for an endpoint of the platform."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.serving import Serving


@pytest.fixture
def client(service: Serving, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", service.local.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    config = Config(read_timeout=70, retries={"total_max_attempts": 1})
    return boto3.client("sagemaker-runtime", region_name="us-east-1", config=config)


def invoke(client: Any, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    body = json.dumps({"prompt": "a red star"} | fields)
    answer = client.invoke_endpoint(EndpointName="any-name", ContentType="application/json", Body=body, **headers)
    content: dict[str, Any] = json.loads(answer["Body"].read())
    return content


def test_invoke_endpoint_gives_an_image(client: Any) -> None:
    assert invoke(client, {})["images"][0]["mime_type"] == "image/png"


def test_it_is_the_image_that_a_plain_request_gives(client: Any, service: Serving) -> None:
    plain = service.invoke(prompt="a red star", seed=7).json()["images"]
    assert invoke(client, {}, seed=7)["images"] == plain


def test_accept_gives_the_bytes_of_the_image(client: Any) -> None:
    body = json.dumps({"prompt": "a red star"})
    answer = client.invoke_endpoint(EndpointName="any-name", Accept="image/png", Body=body)
    assert answer["ContentType"] == "image/png"
    assert answer["Body"].read().startswith(b"\x89PNG")


def test_target_model_names_the_rom(client: Any) -> None:
    assert invoke(client, {"TargetModel": "tiny"}, num_inference_steps=1)["model"] == "tiny"


def test_inference_id_is_the_requests_id(client: Any) -> None:
    assert invoke(client, {"InferenceId": "order-66"})["id"] == "order-66"


def test_custom_attributes_name_request_and_rom(client: Any) -> None:
    attributes = "request_id=order-67,model=tiny,callers-own=7"
    answer = invoke(client, {"CustomAttributes": attributes}, num_inference_steps=1)
    assert (answer["id"], answer["model"]) == ("order-67", "tiny")


def test_custom_attributes_limit_the_time(client: Any) -> None:
    started = time.monotonic()
    asked = {"num_images_per_prompt": 64, "width": 512, "height": 512}
    answer = invoke(client, {"CustomAttributes": "timeout_s=3,model=endless"}, **asked)
    assert answer["images"][0]["finish_reason"] == "deadline"
    assert time.monotonic() - started < 30


def test_the_body_wins_over_headers(client: Any) -> None:
    answer = invoke(client, {"TargetModel": "tiny", "InferenceId": "outer"}, model="fake", request_id="inner")
    assert (answer["id"], answer["model"]) == ("inner", "fake")


def test_an_error_reaches_the_caller_with_its_status(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(client, {}, model="fke")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
