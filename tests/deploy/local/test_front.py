"""What unmodified boto3 clients get from the local front, and what a container sees of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError

from deploy.local.container import container_of
from deploy.local.endpoint import Status
from deploy.local.front import FrontOptions
from deploy.local.limits import Limits
from deploy.running import ROOT, free_port
from tests.support.fronts import PATIENCE_S, SAMPLE, Front, front_in_service, front_of, sample_container

LIMITS = Limits(request_bytes=20_000, response_bytes=10_000, invocation_s=0.5, stream_s=0.7, stop_s=5)


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with front_in_service(LIMITS) as started:
        yield started


@pytest.fixture(scope="module")
def runtime(front: Front) -> Any:
    return front.client()


def invoke(runtime: Any, asked: dict[str, Any], **parameters: Any) -> Any:
    return runtime.invoke_endpoint(EndpointName="any-name", Body=json.dumps(asked), **parameters)


def stream(runtime: Any, asked: dict[str, Any], **parameters: Any) -> Any:
    body = json.dumps({"stream": True, **asked})
    return runtime.invoke_endpoint_with_response_stream(EndpointName="any-name", Body=body, **parameters)


def failure(runtime: Any, asked: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        invoke(runtime, asked)
    response: dict[str, Any] = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/any-name")
    return response


def test_a_container_sees_the_forwarded_headers_and_no_other(runtime: Any) -> None:
    given = {"ContentType": "application/json", "Accept": "image/png", "CustomAttributes": "trace=7"}
    ids = {"InferenceId": "order 66", "SessionId": "session-1"}
    unseen = {"TargetVariant": "blue", "TargetModel": "a.tar.gz", "EnableExplanations": "`true`"}
    answer = invoke(runtime, {}, **given, **ids, **unseen)
    seen = json.loads(answer["Body"].read())["headers"]
    assert {name: value for name, value in seen.items() if name not in ("host", "connection", "content-length")} == {
        "content-type": "application/json",
        "accept": "image/png",
        "x-amzn-sagemaker-custom-attributes": "trace=7",
        "x-amzn-sagemaker-inference-id": "order 66",
        "x-amzn-sagemaker-session-id": "session-1",
        "user-agent": "AHC/2.0",
    }


def test_a_caller_sees_the_mapped_headers_and_no_other(runtime: Any) -> None:
    answer = invoke(runtime, {}, CustomAttributes="trace=7")
    assert json.loads(answer["Body"].read())["path"] == "/invocations"
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "trace=7"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert "x-own" not in answer["ResponseMetadata"]["HTTPHeaders"]


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (503, "server"), (302, "server")])
def test_what_is_no_success_becomes_a_model_error(runtime: Any, status: int, side: str) -> None:
    response = failure(runtime, {"status": status, "text": "no such colour"})
    assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (status, "no such colour")
    assert (
        f'Received {side} error ({status}) from primary with message "no such colour"' in response["Error"]["Message"]
    )
    assert response["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/any-name")


def test_a_late_response_is_cut_with_the_platforms_message(runtime: Any) -> None:
    response = failure(runtime, {"sleep_s": 1.0})
    assert response["OriginalStatusCode"] == 0
    assert (
        "Your invocation timed out while waiting for a response from container primary" in response["Error"]["Message"]
    )


def test_a_model_error_is_not_tried_again(front: Front) -> None:
    patient = front.client(retries={"total_max_attempts": 3})
    assert failure(patient, {"status": 500})["ResponseMetadata"]["RetryAttempts"] == 0


@pytest.mark.parametrize("asked", [{"padding": "x" * 20_000}, {"bytes": 10_001}], ids=["request", "response"])
def test_what_is_too_large_is_413(runtime: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(runtime, asked)
    assert caught.value.response["Error"]["Code"] == "413"
    assert "HTTP content length exceeded" in caught.value.response["Error"]["Message"]


def test_what_is_as_large_as_allowed_passes(runtime: Any) -> None:
    frame = len(json.dumps({"bytes": 10_000, "padding": ""}))
    answer = invoke(runtime, {"bytes": 10_000, "padding": "x" * (20_000 - frame)})
    assert len(answer["Body"].read()) == 10_000


@pytest.mark.parametrize(
    ("name", "value"), [("CustomAttributes", "x" * 1025), ("InferenceId", "x" * 65), ("Accept", "x" * 1025)]
)
def test_a_header_that_is_too_long_is_refused_by_name(runtime: Any, name: str, value: str) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(runtime, {}, **{name: value})
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert name.lower() in caught.value.response["Error"]["Message"].replace("-", "").lower()


def test_a_stream_comes_in_events(runtime: Any) -> None:
    answer = stream(runtime, {"pieces": ["one ", "two ", "three"]}, Accept="text/event-stream")
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert b"".join(parts) == b"one two three"
    assert answer["ContentType"] == "text/event-stream"


def test_an_error_before_a_stream_is_a_model_error(runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        stream(runtime, {"status": 429, "text": "full"})
    assert caught.value.response["OriginalStatusCode"] == 429


@pytest.mark.parametrize(
    ("asked", "reason"),
    [({"breaks": True}, "was reset or closed"), ({"pause_s": 1.2}, "failed to finish sending the response within")],
)
def test_a_stream_that_cannot_go_on_ends_with_an_exception(runtime: Any, asked: dict[str, Any], reason: str) -> None:
    with closing(stream(runtime, {"pieces": ["one"], **asked})["Body"]) as body:
        events = iter(body)
        assert next(events)["PayloadPart"]["Bytes"] == b"one"
        with pytest.raises(EventStreamError, match="ModelStreamError") as caught:
            next(events)
    assert reason in caught.value.response["Error"]["Message"]  # botocore reads no other member


def test_there_is_no_other_operation(front: Front) -> None:
    assert httpx.get(f"{front.url}/ping").status_code == 404
    assert httpx.post(f"{front.url}/invocations", content=b"{}").status_code == 404


def test_asynchronous_calls_need_their_configuration(runtime: Any) -> None:
    with pytest.raises(ClientError, match="not configured for asynchronous"):
        runtime.invoke_endpoint_async(EndpointName="any-name", InputLocation="s3://bucket/key")


def test_a_container_that_exits_is_told_so() -> None:
    with front_in_service(LIMITS) as front:
        for _ in range(2):
            assert "as the model process exited" in failure(front.client(), {"exit": 1})["OriginalMessage"]


def test_an_endpoint_whose_container_is_not_ready_is_not_found_and_then_fails() -> None:
    limits = Limits(start_s=0.5, ping_s=0.2, stop_s=5)
    with front_of(sample_container(FAULTS="ping-late"), FrontOptions(limits)) as front:
        with pytest.raises(ClientError, match="Endpoint any-name of account 000000000000 not found"):
            invoke(front.client(), {})
        front.until(Status.FAILED)
    assert "did not pass the ping health check" in front.endpoint.reason


def test_an_endpoint_whose_container_ends_at_once_has_failed() -> None:
    with front_of(sample_container(FAULTS="dies"), FrontOptions(LIMITS)) as front:
        front.until(Status.FAILED)
    assert front.endpoint.reason == "the container ended with status 3"


def test_an_endpoint_whose_container_cannot_be_started_has_failed(tmp_path: Any) -> None:
    program = tmp_path / "program"
    program.write_text("#!/nowhere/at/all\n")
    program.chmod(0o755)
    with front_of(container_of(str(program), {}, {}), FrontOptions(LIMITS)) as front:
        front.until(Status.FAILED)
    assert "does not start" in front.endpoint.reason


@pytest.mark.parametrize(("faults", "killed"), [("", False), ("ignores-sigterm", True)])
def test_a_container_gets_sigterm_and_after_its_time_sigkill(
    faults: str, killed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with front_in_service(Limits(stop_s=0.5), {"FAULTS": faults}) as front:
        assert front.endpoint.container.ended() is None
    assert front.endpoint.container.ended() == (-signal.SIGKILL if killed else 0)
    assert ("was killed" in capfd.readouterr().err) is killed


def test_the_command_serves_until_a_signal_and_takes_its_container_along() -> None:
    port = free_port()
    command = [sys.executable, "-m", "deploy.local", SAMPLE, "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert (
            process.stdout.readline()
            == f"InService: export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=http://127.0.0.1:{port}\n"
        )
        answer = httpx.post(f"http://127.0.0.1:{port}/endpoints/any/invocations", json={})
        container = answer.json()["headers"]["host"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{container}/ping")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--env", "FAULTS=dies"], "the container ended with status 3"),
        (["--env", "FAULTS"], "--env FAULTS: must be NAME=VALUE"),
        (["--async-output", "s3://bucket/out", "--notifications", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_the_command_says_what_is_wrong(options: list[str], reason: str) -> None:
    command = [sys.executable, "-m", "deploy.local", SAMPLE, "--port", str(free_port()), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
