"""Rules of /invocations for requests that succeed."""

from __future__ import annotations

import string

from deploy.local.conformance.rule import Broken, Skipped, rule
from deploy.local.conformance.subject import Subject, summary
from deploy.local.headers import CUSTOM_ATTRIBUTES, INFERENCE_ID

_OPAQUE = (string.ascii_letters + string.digits + "!#$%&'()*+-./:;<=>?@[]^_`{|}~,") * 12


@rule(
    "invocations-status",
    "POST /invocations answers 200.",
    "SageMaker guide: how the container responds to inference requests",
)
def invocations_status(subject: Subject) -> str:
    response = subject.plain.response
    if not response.is_success:
        raise Broken(f"answered {summary(response)}")
    return f"answered {response.status_code}, {response.headers.get('content-type', 'of no type')}"


@rule(
    "invocations-time",
    "The answer is there within 60 seconds.",
    "SageMaker guide: must respond to requests within 60 seconds",
)
def invocations_time(subject: Subject) -> str:
    took_s = subject.served().took_s
    if took_s > subject.asked.limits.invocation_s:
        raise Broken(f"it took {took_s:.1f} s")
    return f"{took_s:.2f} s"


@rule(
    "response-size",
    "A response has at most 6,291,456 bytes.",
    "botocore: BodyBlob; the FAQ says 25 MB, where that is granted",
)
def response_size(subject: Subject) -> str:
    nbytes, limit = len(subject.served().response.content), subject.asked.limits.response_bytes
    if nbytes > limit:
        raise Broken(f"{nbytes} bytes, above {limit}")
    return f"{nbytes} bytes"


@rule(
    "content-length",
    "A response that is not streamed says how long it is.",
    "SageMaker, asynchronous: a response without Content-Length fails (djl-serving#2567)",
)
def content_length(subject: Subject) -> str:
    headers = subject.served().response.headers
    if "content-length" not in headers:
        raise Broken(f"no Content-Length; Transfer-Encoding: {headers.get('transfer-encoding', 'none')}")
    return f"Content-Length: {headers['content-length']}"


@rule(
    "foreign-headers",
    "Headers that it does not know are ignored.",
    "SageMaker guide: SageMaker might add additional headers",
)
def foreign_headers(subject: Subject) -> str:
    return subject.accepts({"X-Amzn-SageMaker-Forwarded-For": "10.0.0.1", "X-Amzn-RequestId": "5b5c4e86"})


@rule(
    "custom-attributes",
    "Custom attributes are any 1024 visible ASCII characters.",
    "botocore: CustomAttributes is an opaque value that is forwarded verbatim",
)
def custom_attributes(subject: Subject) -> str:
    return subject.accepts({CUSTOM_ATTRIBUTES: _OPAQUE[:1024]})


@rule("inference-id", "An inference id has up to 64 characters.", "botocore: InferenceId, 1 to 64 printable characters")
def inference_id(subject: Subject) -> str:
    return subject.accepts({INFERENCE_ID: f"conformance {'x' * 52}"})


@rule("request-size", "A request of 6,291,456 bytes is read.", "botocore: BodyBlob; the platform lets it through")
def request_size(subject: Subject) -> str:
    """Of JSON the white space at the end means nothing; whatever another type makes of it, it is not too large."""
    subject.served()
    body = subject.asked.body.ljust(subject.asked.limits.request_bytes)
    answer = subject.post(body)
    if answer.status_code == 413:
        raise Broken(f"{len(body)} bytes are answered {summary(answer)}")
    return f"{len(body)} bytes are answered {answer.status_code}"


@rule(
    "stream-chunked",
    "A streamed response comes in pieces (chunked).",
    "SageMaker guide: the container answers with HTTP chunked encoding",
)
def stream_chunked(subject: Subject) -> str:
    if subject.asked.stream_body is None:
        raise Skipped("--stream-body says what makes it stream")
    subject.served()
    answer = subject.post(subject.asked.stream_body)
    if not answer.is_success:
        raise Broken(f"answered {summary(answer)}")
    encoding = answer.headers.get("transfer-encoding", "none")
    if encoding != "chunked":
        raise Broken(f"Transfer-Encoding: {encoding}")
    return f"chunked, {len(answer.content)} bytes"
