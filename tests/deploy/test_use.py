"""What is done with an endpoint that is there: batch jobs, a smoke test, logs."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

import httpx
import pytest
from PIL import Image

from deploy.picture import terminal_picture
from deploy.sagemaker.batch import start_batch
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.logs import log_lines
from deploy.sagemaker.smoke import smoke
from tests.deploy.conftest import ASYNC, BUCKET, PATIENCE, Account, Interrupted, Record, Recorder
from tests.support.aws_stub import AwsStub

BATCH = {"batch": {"input": f"s3://{BUCKET}/in/", "output": f"s3://{BUCKET}/out/", "instance_type": "ml.g5.xlarge"}}
ROLE = "arn:aws:iam::123456789012:role/cartridge-execution"


def jobs(calls: Recorder) -> list[dict[str, Any]]:
    return list(calls.pages("sagemaker", "list_transform_jobs", "TransformJobSummaries"))


def test_a_batch_job_is_started_once(account: Account, record: Record) -> None:
    config = account.configure(**BATCH)
    name = start_batch(account.calls, config, account.image, ROLE, PATIENCE)
    again = record()
    assert start_batch(again, config, account.image, ROLE, PATIENCE) == name
    assert again.changes == []
    job = account.calls.read("sagemaker", "describe_transform_job", TransformJobName=name)
    assert job["BatchStrategy"] == "SingleRecord"
    model = account.calls.read("sagemaker", "describe_model", ModelName=job["ModelName"])
    assert "ModelDataSource" not in model["PrimaryContainer"]
    assert model["PrimaryContainer"]["Environment"]["CARTRIDGE_ROM_SOURCES"].startswith("s3://")


def test_a_batch_job_that_failed_is_started_again(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sagemaker.models import sagemaker_backends

    config = account.configure(**BATCH)
    name = start_batch(account.calls, config, account.image, ROLE, PATIENCE)
    job = sagemaker_backends["123456789012"]["us-east-1"].transform_jobs[name]
    monkeypatch.setattr(job, "transform_job_status", "Failed")
    second = start_batch(account.calls, config, account.image, ROLE, PATIENCE)
    assert second == f"{name[:-1]}2"


def test_a_batch_job_completes_wherever_it_was_interrupted(account: Account, record: Record) -> None:
    config = account.configure(**BATCH)
    for _ in range(2):  # model, then job
        with pytest.raises(Interrupted):
            start_batch(record(ends_after=0), config, account.image, ROLE, PATIENCE)
    assert len(jobs(account.calls)) == 1
    with pytest.raises(DeployError, match="has no batch"):
        start_batch(account.calls, account.configure(), account.image, ROLE, PATIENCE)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4), (200, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def answer() -> dict[str, Any]:
    images = [{"b64_json": base64.b64encode(png()).decode()}]
    return {"model": "shapes", "images": images, "timings": {"total_s": 1.5}}


def seed(stub: AwsStub, kind: str, *contents: object) -> None:
    """What moto answers next, as it takes it."""
    results = [
        {"Body": json.dumps(content)} if kind == "endpoint-results" else {"data": json.dumps(content)}
        for content in contents
    ]
    url = f"{stub.moto}/moto-api/static/sagemaker/{kind}"
    httpx.post(url, json={"account_id": "123456789012", "region": "us-east-1", "results": results}).raise_for_status()


def test_a_smoke_test_brings_the_picture(account: Account) -> None:
    seed(account.stub, "endpoint-results", answer(), {"error": {"message": "no ROM"}})
    config = account.configure()
    found = smoke(account.calls, config, {"prompt": "a star"}, PATIENCE)
    assert found is not None and (found.image, found.model, found.seconds) == (png(), "shapes", 1.5)
    with pytest.raises(DeployError, match=r'without an image: .*"no ROM"'):
        smoke(account.calls, config, {"prompt": "another star"}, PATIENCE)


def test_a_smoke_test_of_an_asynchronous_endpoint(account: Account) -> None:
    seed(account.stub, "async-endpoint-results", answer())
    found = smoke(account.calls, account.configure(**ASYNC), {"prompt": "a star"}, PATIENCE)
    assert found is not None and found.image == png()
    asked = account.calls.client("s3").get_object(Bucket=BUCKET, Key="answers/smoke/request.json")["Body"].read()
    assert json.loads(asked) == {"prompt": "a star"}


def test_a_picture_is_shown_in_the_terminal() -> None:
    lines = terminal_picture(png(), columns=8).splitlines()
    assert len(lines) == 2
    assert lines[0].count("\u2580") == 8 and "38;2;200;0;0" in lines[0]


def write_log(calls: Recorder, name: str, *messages: str) -> None:
    logs, group = calls.client("logs"), f"/aws/sagemaker/Endpoints/{name}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="main/i-0")
    events = [{"timestamp": int(time.time() * 1000), "message": message} for message in messages]
    logs.put_log_events(logGroupName=group, logStreamName="main/i-0", logEvents=events)


def test_logs_are_shown_and_followed(calls: Recorder) -> None:
    with pytest.raises(DeployError, match="no container has started yet"):
        list(log_lines(calls, "pictures", 60))
    write_log(calls, "pictures", '{"event": "ready"}')
    assert [line.endswith('main/i-0 {"event": "ready"}') for line in log_lines(calls, "pictures", 60)] == [True]
    later = iter(["second", "third"])
    followed = log_lines(
        calls, "pictures", 60, follow=True, sleep=lambda seconds: write_log(calls, "pictures", next(later))
    )
    assert [next(followed).split()[-1] for _ in range(3)] == ['"ready"}', "second", "third"]
