"""Which models a multi-model container holds: loaded when they are asked for, unloaded when it has no room."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from deploy.local.archives import ModelArchives
from deploy.local.client import ContainerClient
from deploy.local.errors import ModelError, ModelNotReady

_LOADED = (200, 409)  # 409: it was loaded already
_NO_ROOM = 507
_JSON = {"Content-Type": "application/json"}


class Models:
    """The platform's account of the models in one container. One load or unload at a time."""

    def __init__(self, client: ContainerClient, archives: ModelArchives, load_s: float) -> None:
        self._client = client
        self._archives = archives
        self._load_s = load_s
        self._loaded: dict[str, None] = {}  # from the least recently used on
        self._in_use: Counter[str] = Counter()
        self._changing = asyncio.Lock()

    @property
    def loaded(self) -> list[str]:
        """From the least recently used on."""
        return list(self._loaded)

    @asynccontextmanager
    async def holding(self, target: str) -> AsyncIterator[str]:
        """The name of a model that stays loaded until this ends.

        Raises ModelNotReady where that takes too long: the container goes on loading. Raises ModelError,
        ValidationError.
        """
        try:
            async with asyncio.timeout(self._load_s), self._changing:
                name = await asyncio.to_thread(self._archives.bring, target)
                if name not in self._loaded:
                    await self._load(name)
                self._loaded.pop(name, None)
                self._loaded[name] = None
                self._in_use[name] += 1
        except TimeoutError as error:
            raise ModelNotReady(f"Model {target} is not ready for inference yet. Try your request again.") from error
        try:
            yield name
        finally:
            self._in_use[name] -= 1

    async def make_room(self) -> bool:
        """Unload the model that was used least recently; False where all are in use, or none is loaded."""
        async with self._changing:
            return await self._unload_one()

    async def _load(self, name: str) -> None:
        """As long as it is answered 507, another model goes and it is tried again. Raises ModelError."""
        body = json.dumps({"model_name": name, "url": self._archives.url_of(name)}).encode()
        reply = await self._client.call("/models", body, _JSON, within_s=None)
        while reply.status == _NO_ROOM and await self._unload_one():
            reply = await self._client.call("/models", body, _JSON, within_s=None)
        if reply.status not in _LOADED:
            raise ModelError(reply.status, reply.body)

    async def _unload_one(self) -> bool:
        name = next((name for name in self._loaded if not self._in_use[name]), None)
        if name is None:
            return False
        reply = await self._client.call(path_of(name), b"", {}, within_s=None, method="DELETE")
        if reply.is_error and reply.status != 404:
            raise ModelError(reply.status, reply.body)
        del self._loaded[name]
        return True


def path_of(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


def invoke_path_of(name: str) -> str:
    return f"{path_of(name)}/invoke"
