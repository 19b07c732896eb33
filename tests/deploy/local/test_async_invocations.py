"""Asynchronous invocations by an unmodified boto3 client: S3 in, S3 out, failures, notifications."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deploy.local.asynchronous import AsyncConfig
from deploy.local.storage import Location, Storage
from deploy.running import wait_until
from tests.support.fronts import PATIENCE_S, front_in_service

BUCKET = "asynchronous"


@dataclass(frozen=True)
class Stand:
    """An endpoint with asynchronous invocations, its bucket and its topics."""

    s3: Any
    runtime: Any
    topics: Path

    def put(self, name: str, asked: dict[str, Any]) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=f"in/{name}", Body=json.dumps(asked).encode())
        return f"s3://{BUCKET}/in/{name}"

    def read(self, uri: str) -> bytes:
        location = Location.parse(uri)
        data: bytes = self.s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
        return data

    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """Topic and message of all that was published."""
        lines = [json.loads(line) for line in self.topics.read_text().splitlines()]
        return [(line["TopicArn"].rpartition(":")[2], json.loads(line["Message"])) for line in lines]

    def result(self, inference_id: str) -> tuple[str, dict[str, Any]]:
        """Topic and message of one request, which may still be under way."""

        def found() -> list[tuple[str, dict[str, Any]]]:
            return [told for told in self.messages() if told[1].get("inferenceId") == inference_id]

        wait_until(lambda: bool(found()), PATIENCE_S)
        (told,) = found()
        return told

    def invoke(self, **parameters: Any) -> Any:
        return self.runtime.invoke_endpoint_async(EndpointName="any-name", **parameters)


@pytest.fixture(scope="module")
def stand(moto_url: str, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    s3.create_bucket(Bucket=BUCKET)
    topics = tmp_path_factory.mktemp("topics") / "notifications.jsonl"
    config = AsyncConfig(Location(BUCKET, "out"), Location(BUCKET, "failures"), topics)
    with (
        closing(Storage(moto_url)) as storage,
        front_in_service(asynchronous=config, storage=storage) as front,
    ):
        yield Stand(s3, front.client(), topics)


def test_the_response_comes_to_the_output_location(stand: Stand) -> None:
    given = {"ContentType": "application/json", "Accept": "image/png", "InferenceId": "first"}
    accepted = stand.invoke(InputLocation=stand.put("first", {}), **given)
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "first"
    assert accepted["OutputLocation"] == f"s3://{BUCKET}/out/first.out"
    assert accepted["FailureLocation"].startswith(f"s3://{BUCKET}/failures/first")
    topic, message = stand.result("first")
    assert (topic, message["invocationStatus"]) == ("success", "Completed")
    assert message["responseParameters"] == {
        "contentType": "application/json",
        "outputLocation": accepted["OutputLocation"],
    }
    seen = json.loads(stand.read(accepted["OutputLocation"]))["headers"]
    assert (seen["content-type"], seen["accept"]) == ("application/json", "image/png")
    assert seen["x-amzn-sagemaker-inference-id"] == "first"


def test_a_payload_may_come_inline_and_the_output_have_a_name(stand: Stand) -> None:
    names = {"S3OutputPathExtension": "today", "Filename": "answer.json"}
    accepted = stand.invoke(Body=b'{"bytes": 3}', **names)
    assert accepted["OutputLocation"] == f"s3://{BUCKET}/out/today/answer.json"
    stand.result(accepted["InferenceId"])
    assert stand.read(accepted["OutputLocation"]) == b"xxx"


def test_what_the_container_says_of_a_failure_comes_to_the_failure_location(stand: Stand) -> None:
    location = stand.put("bad", {"status": 422, "text": "no such colour"})
    accepted = stand.invoke(InputLocation=location, InferenceId="bad", ContentType="application/json")
    topic, message = stand.result("bad")
    assert (topic, message["invocationStatus"]) == ("error", "Failed")
    assert message["failureReason"].startswith("ClientError: Received client error (422) from primary")
    assert message["requestParameters"] == {
        "endpointName": "any-name",
        "contentType": "application/json",
        "inputLocation": location,
    }
    assert stand.read(accepted["FailureLocation"]) == b"no such colour"
    with pytest.raises(ClientError, match="NoSuchKey"):
        stand.read(accepted["OutputLocation"])


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"chunked": True}, "did not specify the required Content-Length header"),
        ({"sleep_s": 3}, "timed out while waiting for a response"),
    ],
)
def test_a_response_without_length_or_in_time_is_a_failure(stand: Stand, asked: dict[str, Any], reason: str) -> None:
    accepted = stand.invoke(InputLocation=stand.put("late", asked), InvocationTimeoutSeconds=1)
    topic, message = stand.result(accepted["InferenceId"])
    assert topic == "error"
    assert reason in message["failureReason"]


def test_an_input_that_is_not_there_is_a_failure(stand: Stand) -> None:
    accepted = stand.invoke(InputLocation=f"s3://{BUCKET}/in/nowhere")
    topic, message = stand.result(accepted["InferenceId"])
    assert topic == "error"
    assert "in/nowhere" in message["failureReason"]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "mutually exclusive"),
        ({"InputLocation": f"s3://{BUCKET}/in/a", "Body": b"{}"}, "mutually exclusive"),
        ({"InputLocation": "https://bucket/key"}, "s3://bucket/key"),
        ({"Body": b"{}", "RequestTTLSeconds": 21_601}, "RequestTTLSeconds is 21601"),
        ({"Body": b"{}", "InvocationTimeoutSeconds": 3601}, "InvocationTimeoutSeconds is 3601"),
        ({"Body": b"x" * 128_001}, "exceeded 128000 bytes"),
    ],
)
def test_a_wrong_call_is_refused(stand: Stand, parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        stand.invoke(**parameters)


def test_topics_are_tried_when_the_endpoint_is_made(stand: Stand) -> None:
    announced = [topic for topic, message in stand.messages() if message == {"eventName": "TestNotification"}]
    assert announced == ["success", "error"]
