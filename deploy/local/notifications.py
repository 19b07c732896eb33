"""What the platform would publish to a topic of SNS, as lines of a file."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local.errors import ACCOUNT, REGION

SUCCESS = "success"
ERROR = "error"


@dataclass(frozen=True)
class Notifications:
    """Two topics in one file. Without a file nothing is written."""

    path: Path | None

    def announce(self) -> None:
        """What every topic gets when an endpoint is made."""
        for topic in (SUCCESS, ERROR):
            self.publish(topic, {"eventName": "TestNotification"})

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        """One line: the envelope in which a subscriber of SNS finds the message as text."""
        if self.path is None:
            return
        envelope = {
            "Type": "Notification",
            "MessageId": str(uuid.uuid4()),
            "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{topic}",
            "Message": json.dumps(message),
            "Timestamp": now(),
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(envelope) + "\n")


@dataclass(frozen=True)
class Receipt:
    """What a notification says of the request it is about."""

    endpoint: str
    inference_id: str
    request_parameters: dict[str, str]  # contentType, accept, inputLocation
    received: str = field(default_factory=lambda: now())

    def result(self, status: str, **outcome: Any) -> dict[str, Any]:
        """`status` is Completed, Failed or Expired."""
        return {
            "awsRegion": REGION,
            "eventTime": now(),
            "receivedTime": self.received,
            "invocationStatus": status,
            **outcome,
            "requestParameters": {"endpointName": self.endpoint, **self.request_parameters},
            "inferenceId": self.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }


def now() -> str:
    """With milliseconds, as the platform writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
