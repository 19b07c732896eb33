"""Prompts that were encoded before: many requests share a negative prompt, and people try one prompt many times."""

from __future__ import annotations

import weakref
from collections import OrderedDict

from app.backends.base import Backend, Conditioning

_MAX_BYTES = 256 * 1024 * 1024
_Key = tuple[weakref.ref[Backend], str | None, int]  # whose, of which prompt, in how many chunks


class PromptEncoder:
    """Encodes prompts, and keeps the latest up to `max_bytes`. For one thread.

    What is kept goes with its backend: one that was unloaded and loaded again starts anew.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[_Key, Conditioning] = OrderedDict()
        self.encoded = 0  # prompts, ever

    def encode(self, backend: Backend, prompt: str | None, chunks: int = 1) -> Conditioning:
        key = (weakref.ref(backend), prompt, chunks)
        if key not in self._kept:
            self._keep(key, backend.encode_prompt(prompt, chunks))
            self.encoded += 1
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: _Key, conditioning: Conditioning) -> None:
        for old in [old for old in self._kept if old[0]() is None]:
            self._drop(old)
        self._kept[key] = conditioning
        self._bytes += _size_of(key[1], conditioning)
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        self._bytes -= _size_of(key[1], self._kept.pop(key))


def _size_of(prompt: str | None, conditioning: Conditioning) -> int:
    return len(prompt or "") + conditioning.nbytes
