"""Prompts that were encoded before: many requests share a negative prompt, and people try one prompt many times."""

from __future__ import annotations

import weakref
from collections import OrderedDict

from app.backends.base import Backend, Conditioning

_MAX_BYTES = 64 * 1024 * 1024


class PromptEncoder:
    """Encodes prompts, and keeps the latest up to `max_bytes`. For one thread.

    What is kept goes with its backend: one that was unloaded and loaded again starts anew.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[weakref.ref[Backend], str], Conditioning] = OrderedDict()
        self.encoded = 0  # prompts, ever

    def encode(self, backend: Backend, prompt: str) -> Conditioning:
        key = (weakref.ref(backend), prompt)
        if key not in self._kept:
            self._keep(key, backend.encode_prompt(prompt))
            self.encoded += 1
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: tuple[weakref.ref[Backend], str], conditioning: Conditioning) -> None:
        for old in [old for old in self._kept if old[0]() is None]:
            self._drop(old)
        self._kept[key] = conditioning
        self._bytes += _size_of(key[1], conditioning)
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[weakref.ref[Backend], str]) -> None:
        self._bytes -= _size_of(key[1], self._kept.pop(key))


def _size_of(prompt: str, conditioning: Conditioning) -> int:
    return len(prompt) + len(conditioning.truncated) + conditioning.prompt_embeds.nbytes
