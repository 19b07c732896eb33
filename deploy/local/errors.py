"""What a caller is told, as boto3 reads it.

PlatformError
├── ValidationError     400  the call is wrong, or the endpoint is not in service
├── UnknownOperation    404  no operation of the runtime
├── PayloadTooLarge     413  a request or a response above the limit; its body is plain text
├── ModelError          424  the container answered with an error, late, or not at all
└── ModelNotReady       429  a model of a multi-model endpoint is not loaded in time
"""

from __future__ import annotations

from starlette.responses import JSONResponse, PlainTextResponse, Response

REGION = "us-east-1"
ACCOUNT = "000000000000"


class PlatformError(Exception):
    """Base of what the platform itself answers."""

    http_status = 500
    kind: str | None = "InternalFailure"  # the exception's name in boto3

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def explain(self, endpoint: str) -> str:
        return self.message

    def body(self, endpoint: str) -> dict[str, object]:
        return {"Message": self.explain(endpoint)}

    def response(self, endpoint: str) -> Response:
        """`endpoint` is its name in the call."""
        if self.kind is None:
            return PlainTextResponse(self.message, self.http_status)
        headers = {"x-amzn-ErrorType": f"{self.kind}:http://internal.amazon.com/coral/com.amazon.sagemaker/"}
        return JSONResponse(self.body(endpoint), self.http_status, headers)


class ValidationError(PlatformError):
    http_status = 400
    kind = "ValidationError"


class UnknownOperation(PlatformError):
    http_status = 404
    kind = "UnknownOperationException"


class PayloadTooLarge(PlatformError):
    http_status = 413
    kind = None

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"HTTP content length exceeded {limit_bytes} bytes.")


class ModelNotReady(PlatformError):
    http_status = 429
    kind = "ModelNotReadyException"


class ModelError(PlatformError):
    """`original` is the container's body; with status 0 it is what the platform says of it."""

    http_status = 424
    kind = "ModelError"

    def __init__(self, status: int, original: bytes | str) -> None:
        text = original if isinstance(original, str) else _text(original)
        side = "client" if 400 <= status < 500 else "server"
        told = "and could not load the entire response body" if text is None else f'with message "{text}"'
        super().__init__(f"Received {side} error ({status}) from primary {told}")
        self.status = status
        self.original = text or ""

    def explain(self, endpoint: str) -> str:
        log = f"{REGION}#logEventViewer:group=/aws/sagemaker/Endpoints/{endpoint}"
        return (
            f"{self.message}. See https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={log} "
            f"in account {ACCOUNT} for more information."
        )

    def body(self, endpoint: str) -> dict[str, object]:
        return {
            **super().body(endpoint),
            "OriginalStatusCode": self.status,
            "OriginalMessage": self.original,
            "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/{endpoint}",
        }


def timed_out() -> ModelError:
    return ModelError(
        0,
        "Your invocation timed out while waiting for a response from container primary. Review the latency metrics "
        "for each container in Amazon CloudWatch, resolve the issue, and try again.",
    )


def exited() -> ModelError:
    return ModelError(0, "An error occurred while handling request as the model process exited.")


def not_in_service(endpoint: str) -> ValidationError:
    return ValidationError(f"Endpoint {endpoint} of account {ACCOUNT} not found.")


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
