"""Objects in S3, by their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from deploy.local.errors import REGION


class StorageError(Exception):
    """An object cannot be read or written; the message says why."""


@dataclass(frozen=True)
class Location:
    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Of `s3://bucket/key`. Raises StorageError."""
        address = urlsplit(uri)
        if address.scheme != "s3" or not address.netloc:
            raise StorageError(f"{uri!r} is no address in S3: s3://bucket/key")
        return cls(address.netloc, uri.removeprefix(f"s3://{address.netloc}").lstrip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> Location:
        return Location(self.bucket, f"{self.key.rstrip('/')}/{name}".lstrip("/"))


class Storage:
    """Calls block. Credentials and, without `endpoint_url`, the address are those of this environment."""

    def __init__(self, endpoint_url: str | None = None) -> None:
        self._client: Any = boto3.client("s3", endpoint_url=endpoint_url, region_name=REGION)

    def close(self) -> None:
        self._client.close()

    def read(self, location: Location, at_most_bytes: int) -> bytes:
        """Raises StorageError."""
        try:
            found = self._client.get_object(Bucket=location.bucket, Key=location.key)
            if found["ContentLength"] > at_most_bytes:
                raise StorageError(f"{location} has {found['ContentLength']} bytes, above {at_most_bytes}")
            data: bytes = found["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise StorageError(f"{location}: {error}") from error
        return data

    def write(self, location: Location, data: bytes, content_type: str) -> None:
        """Raises StorageError."""
        try:
            self._client.put_object(Bucket=location.bucket, Key=location.key, Body=data, ContentType=content_type)
        except (BotoCoreError, ClientError) as error:
            raise StorageError(f"{location}: {error}") from error
