"""Every call to AWS and to docker. What changes something goes through `change` and `run`; a dry run only prints it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import yaml
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from deploy.sagemaker.errors import DeployError

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=70)
_ABSENT_CODES = {
    "404",
    "ImageNotFoundException",
    "LifecyclePolicyNotFoundException",
    "NoSuchEntity",
    "NoSuchKey",
    "RepositoryNotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
}
_ABSENT_WORDS = ("could not find", "does not exist", "cannot find")  # of SageMaker, whose code is ValidationException


class Calls:
    """One account and region. Reads are made in a dry run too."""

    def __init__(
        self, session: boto3.session.Session, *, dry_run: bool = False, show: Callable[[str], None] = print
    ) -> None:
        self._session = session
        self._clients: dict[str, Any] = {}
        self.dry_run = dry_run
        self.show = show

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    @cached_property
    def account(self) -> str:
        """Its number. Raises DeployError without credentials."""
        return str(self.read("sts", "get_caller_identity")["Account"])

    @cached_property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`, as ARNs have it."""
        return str(self._session.get_partition_for_region(self.region))

    def read(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """What a call that changes nothing answers. Raises DeployError."""
        try:
            return dict(getattr(self.client(service), operation)(**parameters))
        except (ClientError, BotoCoreError) as error:
            raise _translated(service, operation, error) from error

    def find(self, service: str, operation: str, **parameters: Any) -> dict[str, Any] | None:
        """Like `read`; None where there is no such thing."""
        try:
            return dict(getattr(self.client(service), operation)(**parameters))
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and _says_absent(error):
                return None
            raise _translated(service, operation, error) from error

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
        """The items under `key` of all pages. Raises DeployError."""
        try:
            for page in self.client(service).get_paginator(operation).paginate(**parameters):
                yield from page.get(key, ())
        except (ClientError, BotoCoreError) as error:
            raise _translated(service, operation, error) from error

    def change(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """A call that changes something, or its text in a dry run, which answers with nothing. Raises DeployError."""
        if self.dry_run:
            self.show(as_yaml({f"{service}.{operation}": parameters}))
            return {}
        self.show(f"{service}.{operation} {_subject(parameters)}".rstrip())
        try:
            return dict(getattr(self.client(service), operation)(**parameters) or {})
        except (ClientError, BotoCoreError, Boto3Error) as error:  # the last is of managed transfers
            raise _translated(service, operation, error) from error

    def run(self, command: Sequence[str], *, cwd: Path | None = None, secret: str | None = None) -> None:
        """A program that changes something; `secret` goes to its standard input, and is never shown.

        Raises DeployError where it is missing or fails.
        """
        self.show(f"$ {shlex.join(command)}")
        if self.dry_run:
            return
        try:
            done = subprocess.run(command, cwd=cwd, input=secret, text=True, check=False)
        except FileNotFoundError as error:
            raise DeployError(f"{command[0]} is not installed, or not on PATH") from error
        if done.returncode:
            raise DeployError(f"{shlex.join(command)} ended with status {done.returncode}")

    def client(self, service: str) -> Any:
        """The boto3 client, for what is neither a read nor a change of AWS, such as signing."""
        if service not in self._clients:
            try:
                self._clients[service] = self._session.client(service, config=_CONFIG)
            except BotoCoreError as error:
                raise DeployError(f"no client of {service}: {error}") from error
        return self._clients[service]


def as_yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True).rstrip()


def holds(existing: object, wanted: object) -> bool:
    """Whether everything that is wanted is there with the same value; AWS adds fields of its own."""
    if isinstance(wanted, Mapping):
        return isinstance(existing, Mapping) and all(
            key in existing and holds(existing[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(existing, (list, tuple)) and len(existing) == len(wanted) and all(map(holds, existing, wanted))
        )
    return existing == wanted


def _says_absent(error: ClientError) -> bool:
    details = error.response.get("Error", {})
    if details.get("Code") in _ABSENT_CODES:
        return True
    message = str(details.get("Message", "")).lower()
    return details.get("Code") == "ValidationException" and any(words in message for words in _ABSENT_WORDS)


def _translated(service: str, operation: str, error: ClientError | BotoCoreError | Boto3Error) -> DeployError:
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        return DeployError(f"{service}.{operation}: {details.get('Code', '')}: {details.get('Message', '')}")
    hint = ": set AWS_PROFILE, or run aws configure" if isinstance(error, NoCredentialsError) else ""
    return DeployError(f"{service}.{operation}: {error}{hint}")


def _subject(parameters: Mapping[str, Any]) -> str:
    """What a call is about, in a line: its names, never its contents."""
    told = ("Name", "Id", "Key", "Arn", "Prefix")
    return " ".join(str(value) for key, value in parameters.items() if isinstance(value, str) and key.endswith(told))
