"""Modules over the tensors of others."""

from __future__ import annotations

import copy
from typing import Any


def share_weights(module: Any) -> Any:
    """A module of its own over the very parameters and buffers of another: what is hung on one, the other has not."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)
