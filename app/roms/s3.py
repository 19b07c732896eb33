"""ROMs in S3, or in anything that speaks its protocol: every ROM is a prefix of plain objects.

boto3 finds the credentials and signs. Listing is done here; the bytes come over the signed addresses that `sign` gives.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.errors import SettingsError, StoreUnavailable
from app.roms.manifest import INDEX_NAME, MANIFEST_NAME
from app.roms.single_file import SUFFIXES

_SCHEME = "s3://"
_OPTIONS = {"region", "endpoint_url"}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ALONE = "a model in one file needs a folder of its own in a bucket, with a rom.yaml beside it"
_MAX_NAME_BYTES = 255  # of a file or folder, as file systems have it
_SIGNED_FOR_S = 3600
_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 15.0
_ATTEMPTS = 4
_CONNECTIONS = 32  # listing and asking for checksums; bytes come over others


@dataclass(frozen=True)
class RemoteFile:
    """An object, as it was when it was listed."""

    path: str  # in the ROM
    bytes: int
    etag: str  # with its quotes
    key: str


@dataclass(frozen=True)
class RemoteRom:
    """A ROM as it was listed: nothing of it has been read."""

    name: str
    source: str  # address of the store
    files: tuple[RemoteFile, ...]
    broken: str | None = None  # why its keys cannot be files
    store: S3Store = field(repr=False, compare=False, kw_only=True)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class S3Store:
    """The ROMs below one prefix of a bucket; one that holds `rom.yaml` or `model_index.json` is a ROM by itself."""

    def __init__(self, bucket: str, prefix: str = "", *, region: str | None = None, endpoint_url: str | None = None):
        self.bucket = bucket
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._region = region
        self._endpoint_url = endpoint_url
        self._connecting = threading.Lock()
        self._client: Any = None

    @classmethod
    def parse(cls, source: str) -> S3Store:
        """Of `s3://bucket/prefix?region=...&endpoint_url=...`. Raises SettingsError; reaches for nothing."""
        address = urlsplit(source)
        options = parse_qs(address.query, keep_blank_values=True)
        if not source.startswith(_SCHEME) or not _BUCKET.fullmatch(address.netloc) or address.fragment:
            raise SettingsError(f"{source} is not s3://bucket/prefix")
        if unknown := sorted(options.keys() - _OPTIONS):
            raise SettingsError(f"{source}: {unknown[0]!r} is none of region, endpoint_url")
        chosen = {name: values[-1] for name, values in options.items()}
        if not chosen.get("endpoint_url", "http://").startswith(("http://", "https://")):
            raise SettingsError(f"{source}: endpoint_url must begin with http:// or https://")
        return cls(
            address.netloc,
            unquote(address.path),
            region=chosen.get("region"),
            endpoint_url=chosen.get("endpoint_url"),
        )

    @property
    def source(self) -> str:
        """Its address."""
        endpoint = f"?{urlencode({'endpoint_url': self._endpoint_url})}" if self._endpoint_url else ""
        return f"{_SCHEME}{self.bucket}/{self.prefix}{endpoint}"

    @property
    def place(self) -> str:
        """Where its keys mean what they mean: equal for stores that see the same objects."""
        return f"{self._endpoint_url or ''}/{self.bucket}"

    def list_roms(self) -> list[RemoteRom]:
        """Raises StoreUnavailable."""
        objects = self._list(self.prefix)
        if self._is_rom(path for path, _ in objects):
            return [self._rom(self.prefix.rstrip("/").rpartition("/")[2] or self.bucket, objects)]
        alone: list[RemoteRom] = []
        grouped: dict[str, list[tuple[str, RemoteFile]]] = {}
        for path, file in objects:
            name, slash, rest = path.partition("/")
            if not slash and name.endswith(SUFFIXES):
                alone.append(RemoteRom(name.rpartition(".")[0], self.source, (file,), _ALONE, store=self))
            elif slash and name:
                grouped.setdefault(name, []).append((rest, file))
        roms = [self._rom(name, files) for name, files in sorted(grouped.items()) if self._is_rom(p for p, _ in files)]
        taken = {rom.name for rom in roms}
        return roms + [rom for rom in alone if rom.name not in taken]

    def relist(self, remote: RemoteRom) -> RemoteRom:
        """The ROM as it is now. Raises StoreUnavailable."""
        found = next((rom for rom in self.list_roms() if rom.name == remote.name), None)
        if found is None:
            raise StoreUnavailable(f"ROM {remote.name!r} is no longer in {self.source}")
        return found

    def sign(self, file: RemoteFile) -> str:
        """An address that gives the object's bytes without further credentials, for an hour."""
        params = {"Bucket": self.bucket, "Key": file.key}
        return str(self._call("generate_presigned_url", "get_object", Params=params, ExpiresIn=_SIGNED_FOR_S))

    def head(self, file: RemoteFile) -> dict[str, Any]:
        """What S3 knows about an object, its checksums included."""
        return dict(self._call("head_object", Bucket=self.bucket, Key=file.key, ChecksumMode="ENABLED"))

    def _list(self, prefix: str) -> list[tuple[str, RemoteFile]]:
        """Objects by their keys after the prefix. Keys that stand for folders, of no bytes, are left out."""
        found: list[tuple[str, RemoteFile]] = []
        request: dict[str, Any] = {"Bucket": self.bucket, "Prefix": prefix}
        while True:
            page = self._call("list_objects_v2", **request)
            for item in page.get("Contents", ()):
                path = item["Key"][len(prefix) :]
                if path and not (path.endswith("/") and item["Size"] == 0):
                    found.append((path, RemoteFile(path, item["Size"], item["ETag"], item["Key"])))
            if not page.get("IsTruncated"):
                return found
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _rom(self, name: str, objects: list[tuple[str, RemoteFile]]) -> RemoteRom:
        folders = {path[:index] for path, _ in objects for index, char in enumerate(path) if char == "/"}
        files = tuple(
            RemoteFile(path, file.bytes, file.etag, file.key)
            for path, file in sorted(objects)
            if file.bytes or path not in folders  # some tools mark a folder with an object of no bytes and no slash
        )
        broken = _find_name_fault(name) or next(filter(None, (_find_fault(file.path, folders) for file in files)), None)
        return RemoteRom(name, self.source, files, broken, store=self)

    @staticmethod
    def _is_rom(paths: Iterable[str]) -> bool:
        return not {MANIFEST_NAME, INDEX_NAME}.isdisjoint(paths)

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            with self._connecting:
                self._client = self._client or self._connect()
            return getattr(self._client, method)(*arguments, **options)
        except ClientError as error:
            details = error.response.get("Error", {})
            reason = f"{details.get('Code', '')} {details.get('Message', '')}".strip()
            what = f"{options['Key']} of {self.source}" if "Key" in options else self.source
            raise StoreUnavailable(f"{what} cannot be read: {reason}", retry_after_s=5) from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"{self.source} cannot be read: {error}", retry_after_s=5) from error

    def _connect(self) -> Any:
        config = Config(
            signature_version="s3v4",
            max_pool_connections=_CONNECTIONS,
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            s3={"addressing_style": "path"} if self._endpoint_url else {},
        )
        session = boto3.session.Session()  # the module's own session is not made for threads
        return session.client("s3", region_name=self._region, endpoint_url=self._endpoint_url, config=config)


def _find_fault(path: str, folders: set[str]) -> str | None:
    """Why a key cannot be a file in a folder; None: it can."""
    if path in folders:
        return f"the key {path!r} is a file and a folder"
    return next((f"the key {path!r}: {fault}" for fault in map(_find_name_fault, path.split("/")) if fault), None)


def _find_name_fault(name: str) -> str | None:
    if name in ("", ".", ".."):
        return f"{name!r} is no name of a file or folder"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"a name of more than {_MAX_NAME_BYTES} bytes"
    if not name.isprintable() or "\\" in name:
        return "a control character or backslash in a name"
    return None
